"""The certificate of a server, as clients see it that connect."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from lorapool_common.http.certificate import FRESH_S, CertificateError, ServerCertificate
from lorapool_common.http.listening import bound_socket
from lorapool_common.http.server import Message, Receive, Send, Server
from lorapool_local.pki import Authority, KeyPair, load_or_create_authority

NAME = "gateway.test"
DEADLINE_S = 30.0


class Clock:
    """Stands still until it is set on."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return load_or_create_authority(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    """A mounted Secret with a certificate of the name."""
    made = tmp_path / "mounted"
    made.mkdir()
    put(made, authority.issue("first", "first", addresses=[NAME, "127.0.0.1"]))
    return made


def put(folder: Path, pair: KeyPair) -> None:
    shutil.copy(pair.certificate, folder / "tls.crt")
    shutil.copy(pair.key, folder / "tls.key")


async def app(scope: Message, receive: Receive, send: Send) -> None:
    body = str(scope["scheme"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(certificate: ServerCertificate) -> AsyncIterator[int]:
    listener = bound_socket("127.0.0.1", 0)
    server = Server(app, listener, certificate=certificate)
    task = asyncio.create_task(server.run_until_ended())
    listener.listen()
    try:
        yield listener.getsockname()[1]
    finally:
        server.end(1)
        await task


async def ask(port: int, authority: Authority, name: str = NAME) -> tuple[str, bytes]:
    """(the name in the certificate, the reply) of a new connection that trusts the authority."""
    trust = ssl.create_default_context(cafile=authority.certificate_file)
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
        shown = writer.get_extra_info("peercert")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = await reader.read()
        writer.close()
    ((_, common_name),) = shown["subject"][-1]
    return common_name, reply


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a test on an event loop: the gateway's is uvloop's."""

    def on_that_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test)

    return on_that_loop


Run = Callable[[Coroutine[Any, Any, None]], None]


def test_requests_come_by_tls_whether_the_client_names_a_server_or_an_address(
    run: Run, folder: Path, authority: Authority
) -> None:
    async def test() -> None:
        async with serving(ServerCertificate(folder)) as port:
            for name in (NAME, "127.0.0.1"):
                shown, reply = await ask(port, authority, name)
                assert shown == "first"
                assert reply.endswith(b"https")

    run(test())


def test_a_renewed_secret_counts_for_new_connections_without_a_restart(
    run: Run, folder: Path, authority: Authority
) -> None:
    async def test() -> None:
        clock = Clock()
        async with serving(ServerCertificate(folder, clock)) as port:
            put(folder, authority.issue("second", "second", addresses=[NAME, "127.0.0.1"]))
            assert (await ask(port, authority))[0] == "first"  # it was looked at a moment ago
            clock.now_s += FRESH_S
            for name in (NAME, "127.0.0.1"):
                assert (await ask(port, authority, name))[0] == "second"

    run(test())


def test_files_that_do_not_fit_change_nothing_until_they_do(run: Run, folder: Path, authority: Authority) -> None:
    async def test() -> None:
        clock = Clock()
        other = authority.issue("second", "second", addresses=[NAME])
        async with serving(ServerCertificate(folder, clock)) as port:
            for broken in (other.certificate.read_bytes(), b"no certificate"):
                (folder / "tls.crt").write_bytes(broken)
                clock.now_s += FRESH_S
                with capture_logs() as logs:
                    assert (await ask(port, authority))[0] == "first"
                assert [entry["log_level"] for entry in logs] == ["warning"]
            (folder / "tls.crt").unlink()
            clock.now_s += FRESH_S
            assert (await ask(port, authority))[0] == "first"
            put(folder, other)
            clock.now_s += FRESH_S
            assert (await ask(port, authority))[0] == "second"

    run(test())


def test_without_files_that_fit_a_server_does_not_start(folder: Path, authority: Authority) -> None:
    shutil.copy(authority.issue("other", "other").key, folder / "tls.key")
    with pytest.raises(CertificateError, match="no certificate with its key"):
        ServerCertificate(folder)
    (folder / "tls.key").unlink()
    with pytest.raises(CertificateError, match=r"tls\.key: No such file"):
        ServerCertificate(folder)


def test_old_versions_of_tls_are_refused(folder: Path) -> None:
    assert ServerCertificate(folder).context.minimum_version >= ssl.TLSVersion.TLSv1_2
