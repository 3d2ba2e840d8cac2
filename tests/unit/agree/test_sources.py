"""One address, one reason: the operator's look and the pods' download say the same of it."""

import socket
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import errors as hub_errors
from tests.files import lora_file
from tests.web import Reply, Web, serving

from lorapool_api.fetch.hub_errors import refused_by_hub
from lorapool_api.fetch.policy import SourceRefused, reason_of_status
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_operator.sources.header import Headers
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources import url as pods
from lorapool_runtime.sources.limits import Expected


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as it:
        it.answers["/good"] = Reply(body=lora_file())
        yield it


@pytest.fixture
async def headers(web: Web) -> AsyncIterator[Headers]:
    async with Headers((web.host,)) as it:
        yield it


async def looked(headers: Headers, url: str) -> Reason | None:
    try:
        await headers.of_url(url)
    except (SourceRefused, FactsError) as error:
        return error.reason
    return None


def downloaded(url: str, hosts: tuple[str, ...], folder: Path) -> Reason | None:
    try:
        pods.fetch(url, hosts, folder / "file", Expected(None, None, 10**6), lambda: False)
    except AdapterError as error:
        return error.reason
    return None


async def test_both_say_the_same_of_every_status(web: Web, headers: Headers, tmp_path: Path) -> None:
    statuses = [s for s in range(300, 600) if s not in (304,)]
    web.answers |= {f"/{status}": Reply(status) for status in statuses}
    found = {
        s: (await looked(headers, f"{web.url}/{s}"), downloaded(f"{web.url}/{s}", (web.host,), tmp_path))
        for s in statuses
    }
    assert {s: pair for s, pair in found.items() if pair[0] is not pair[1]} == {}
    assert {s: pair[0] for s, pair in found.items()} == {s: reason_of_status(s) for s in statuses}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        *((s, Reason.SOURCE_NOT_FOUND) for s in (400, 404, 405, 410, 416, 418)),
        *((s, Reason.SOURCE_FORBIDDEN) for s in (401, 403, 407, 451)),
        *((s, Reason.SOURCE_UNAVAILABLE) for s in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
def test_only_what_may_pass_is_called_unavailable(status: int, reason: Reason) -> None:
    assert reason_of_status(status) is reason


REDIRECTS = {
    "/moved": "/good",
    "/around": "/around",
    "/away": "http://example.org/x",
    "/metadata": "http://169.254.169.254/latest/meta-data",
    "/other-port": "http://127.0.0.1:1/x",
    "/other-scheme": "ftp://127.0.0.1/x",
    "/no-address": "http://[::1/x",
}


@pytest.mark.parametrize("path", REDIRECTS)
async def test_both_say_the_same_of_every_redirect(web: Web, headers: Headers, tmp_path: Path, path: str) -> None:
    web.answers[path] = Reply(302, headers={"location": REDIRECTS[path]})
    reason = await looked(headers, f"{web.url}{path}")
    assert downloaded(f"{web.url}{path}", (web.host,), tmp_path) is reason
    others = {"/moved": None, "/around": Reason.SOURCE_NOT_FOUND, "/no-address": Reason.SOURCE_UNAVAILABLE}
    wanted = others.get(path, Reason.SOURCE_FORBIDDEN)
    assert reason is wanted


async def test_a_name_is_looked_up_once_and_the_connection_goes_to_the_address_that_was_checked(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that says something else when it is asked again (rebinding) gains nothing by it."""
    port = int(web.host.rpartition(":")[2])
    asked: list[str] = []

    def look_up(host: str, *more: Any, **also: Any) -> list[Any]:
        if host != "127.0.0.1":  # connecting to an address looks it up too, as what it is
            asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    seen: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        seen.append(str(request.headers["host"]))
        return Reply(body=lora_file())

    web.answers["/good"] = answer
    monkeypatch.setattr("socket.getaddrinfo", look_up)
    hosts = (f"files.test:{port}", f"127.0.0.1:{port}")
    assert downloaded(f"http://files.test:{port}/good", hosts, tmp_path) is None
    async with Headers(hosts) as headers:
        assert await looked(headers, f"http://files.test:{port}/good") is None
    assert asked == ["files.test"] * 2
    assert seen == [f"files.test:{port}"] * 2


async def test_a_name_with_a_private_address_is_never_connected_to(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(web.host.rpartition(":")[2])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    address, hosts = f"http://rebound.test:{port}/good", (f"rebound.test:{port}",)
    assert downloaded(address, hosts, tmp_path) is Reason.SOURCE_FORBIDDEN
    async with Headers(hosts) as headers:
        assert await looked(headers, address) is Reason.SOURCE_FORBIDDEN
    assert web.seen == []


async def test_both_say_of_an_impossible_address_that_there_is_nothing(tmp_path: Path) -> None:
    async with Headers(("*",)) as headers:
        assert await looked(headers, "http://two..dots/x") is Reason.SOURCE_NOT_FOUND
    assert downloaded("http://two..dots/x", ("*",), tmp_path) is Reason.SOURCE_NOT_FOUND


async def test_an_empty_file_is_no_safetensors_and_not_missing(web: Web, headers: Headers) -> None:
    """A server that knows ranges has no first byte to give of it."""
    web.answers["/empty"] = lambda request: Reply(416 if "range" in request.headers else 200)
    assert await looked(headers, f"{web.url}/empty") is Reason.INVALID_WEIGHTS


class _Answer:
    def __init__(self, status: int) -> None:
        self.status_code, self.headers = status, {"retry-after": "7"}


def _of(kind: type[Exception], status: int | None = None) -> Exception:
    error = kind.__new__(kind)
    if status is not None:
        vars(error)["response"] = _Answer(status)
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (_of(hub_errors.GatedRepoError, 403), Reason.SOURCE_FORBIDDEN),
        (_of(hub_errors.RepositoryNotFoundError, 401), Reason.SOURCE_NOT_FOUND),
        (_of(hub_errors.RevisionNotFoundError, 404), Reason.SOURCE_NOT_FOUND),
        (_of(hub_errors.EntryNotFoundError, 404), Reason.SOURCE_NOT_FOUND),
        (_of(hub_errors.LocalEntryNotFoundError), Reason.SOURCE_UNAVAILABLE),
        (_of(hub_errors.OfflineModeIsEnabled), Reason.SOURCE_UNAVAILABLE),
        (_of(hub_errors.HfHubHTTPError, 403), Reason.SOURCE_FORBIDDEN),
        (_of(hub_errors.HfHubHTTPError, 429), Reason.SOURCE_UNAVAILABLE),
        (_of(hub_errors.HfHubHTTPError, 500), Reason.SOURCE_UNAVAILABLE),
        (RuntimeError("whatever a client says"), Reason.SOURCE_UNAVAILABLE),
    ],
)
def test_what_the_hub_answers_has_one_reason(error: Exception, reason: Reason) -> None:
    refused = refused_by_hub(error, "a/b")
    assert refused.reason is reason
    assert "whatever" not in refused.message
