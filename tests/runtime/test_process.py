"""`lorapool runtime` as a process of its own: environment in, signals, and no torch where none is wanted."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.runtime.pods import TOKEN, config, free_port, settings, started, write_adapter

from lorapool_api import names
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.catalog import Catalog
from lorapool_common.http.server import Server

DEADLINE_S = 60.0


@contextlib.asynccontextmanager
async def process(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lorapool_common.cli", "runtime", *arguments, env=os.environ | environment, stderr=PIPE
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


async def until_ready(client: httpx.AsyncClient, path: str = "/readyz") -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(path)).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def _until(client: httpx.AsyncClient, what: str, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await client.get("/v1/status")).json()[what] != count:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.02)


def pod_environment(tmp_path: Path, timings: StubTimings, **changes: object) -> tuple[dict[str, str], str, str]:
    """(environment, address of the serving port, address of the control port)."""
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "token").write_text(TOKEN)
    serving, control = free_port(), free_port()
    environment = {
        names.CONFIG_ENV: config(tmp_path, timings, **changes).model_dump_json(),
        "POD_NAME": "shapes-0",
        "POD_IP": "127.0.0.1",
        "LORAPOOL_CACHE_DIR": str(tmp_path / "cache"),
        "LORAPOOL_CONTROL_TOKEN_DIR": str(tmp_path / "control"),
        "LORAPOOL_SERVING_PORT": str(serving),
        "LORAPOOL_CONTROL_PORT": str(control),
    }
    return environment, f"http://127.0.0.1:{serving}", f"http://127.0.0.1:{control}"


async def test_a_stopping_pod_finishes_what_runs_and_exits_cleanly(tmp_path: Path) -> None:
    environment, serving, control = pod_environment(tmp_path, StubTimings(step_milliseconds=300))
    async with process(**environment) as pod, httpx.AsyncClient(base_url=serving, timeout=DEADLINE_S) as client:
        await until_ready(client, "/healthz")
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as operator:
            await operator.put(f"{control}/v1/catalog", json=Catalog.of(()).model_dump(mode="json"))
        await until_ready(client)
        body = {"prompt": "x", "steps": 6}
        runs = asyncio.create_task(client.post("/v1/generate", json=body))
        await _until(client, "running", 1)
        waits = asyncio.create_task(client.post("/v1/generate", json=body))
        await _until(client, "pending", 1)

        pod.send_signal(signal.SIGTERM)
        refused = await waits
        assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (503, "NotReady", True)
        assert refused.headers["connection"] == "close"  # no request meets the end of its connection
        assert (await client.get("/readyz")).status_code == 503
        assert (await runs).status_code == 200
        async with asyncio.timeout(DEADLINE_S):
            assert await pod.wait() == 0


async def test_an_operator_that_waits_for_news_does_not_hold_up_the_end_of_a_pod(tmp_path: Path) -> None:
    environment, serving, control = pod_environment(tmp_path, StubTimings())
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with process(**environment) as pod, httpx.AsyncClient(headers=headers, timeout=2 * DEADLINE_S) as operator:
        await until_ready(operator, f"{serving}/healthz")
        await operator.put(f"{control}/v1/catalog", json=Catalog.of(()).model_dump(mode="json"))
        await until_ready(operator, f"{serving}/readyz")
        state = (await operator.get(f"{control}/v1/state")).json()
        news = {"since": state["version"], "instance": state["instance"], "wait": DEADLINE_S}
        waiting = asyncio.create_task(operator.get(f"{control}/v1/state", params=news))
        await operator.get(f"{control}/v1/state")  # the one that waits was sent before

        pod.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S / 2):
            assert (await waiting).status_code == 200
            assert await pod.wait() == 0


async def test_a_reply_to_a_slow_client_has_what_is_left_of_the_grace_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    end = Server.end

    def told(server: Server, within_s: float) -> None:
        given.append(within_s)
        end(server, within_s)

    monkeypatch.setattr(Server, "end", told)
    async with started(settings(tmp_path, config(tmp_path), grace_seconds=1000.0)):
        pass
    assert len(given) == 2
    assert min(given) > 900


SCRIPT = """
import sys
from lorapool_common.cli import main
{patch}
sys.argv = ["lorapool", "runtime"]
main()
"""
SCHEDULER_FAILS = """
from lorapool_runtime.queue import scheduler
def fail(*_):
    raise KeyError("no such stack")
scheduler.pick = fail
"""
BASE_HANGS = """
import time
from lorapool_runtime.engine.stub import StubEngine
def hang(self, *_):
    print("loading", flush=True)
    time.sleep(3600)
StubEngine.__init__ = hang
"""


@contextlib.asynccontextmanager
async def patched(patch: str, environment: dict[str, str]) -> AsyncIterator[Process]:
    """A pod's process in which this source runs first."""
    script = SCRIPT.format(patch=patch)
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=os.environ | environment, stdout=PIPE, stderr=PIPE
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


async def test_a_queue_that_fails_ends_the_process_and_is_named(tmp_path: Path) -> None:
    environment, serving, control = pod_environment(tmp_path, StubTimings())
    async with (
        patched(SCHEDULER_FAILS, environment) as pod,
        httpx.AsyncClient(base_url=serving, timeout=DEADLINE_S) as client,
    ):
        await until_ready(client, "/healthz")
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as operator:
            await operator.put(f"{control}/v1/catalog", json=Catalog.of(()).model_dump(mode="json"))
        await until_ready(client)
        with contextlib.suppress(httpx.TransportError):
            assert (await client.post("/v1/generate", json={"prompt": "x"})).status_code == 503
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await pod.communicate()
        assert pod.returncode == 1
    (line,) = (line for line in errors.decode().splitlines() if "ended unexpectedly" in line)
    assert "the queue" in line
    assert "KeyError: 'no such stack'" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_while_the_base_loads(tmp_path: Path, number: signal.Signals) -> None:
    environment, _, _ = pod_environment(tmp_path, StubTimings())
    async with patched(BASE_HANGS, environment) as pod:
        assert pod.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert await pod.stdout.readline() == b"loading\n"
            pod.send_signal(number)
            await pod.communicate()
        assert pod.returncode == 0


async def test_without_kubernetes_manifests_and_files_are_served(tmp_path: Path) -> None:
    bare = write_adapter(tmp_path / "adapters", "toy", seed=1)
    other = write_adapter(tmp_path / "adapters", "other", seed=2)
    manifest = tmp_path / "pixel.yaml"
    manifest.write_text(
        f"apiVersion: {names.API_VERSION}\nkind: {names.ADAPTER_KIND}\nmetadata: {{name: pixel-art}}\n"
        f"spec: {{poolRef: {{name: shapes}}, source: {{path: {other}}}, scale: 0.5}}\n"
    )
    port = free_port()
    arguments = ("--engine", "stub", "--model", str(tmp_path), "--adapters", str(manifest), str(bare))
    places = ("--port", str(port), "--cache", str(tmp_path / "cache"))
    async with (
        process(*arguments, *places) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client,
    ):
        await until_ready(client)
        reply = await _until_made(client, {"prompt": "x", "adapters": [{"key": "toy"}, {"key": "pixel-art"}]})
        assert [(a["key"], a["scale"]) for a in reply.json()["adapters"]] == [
            ("local/toy", 1.0),
            ("local/pixel-art", 0.5),
        ]
        server.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            assert await server.wait() == 0


async def _until_made(client: httpx.AsyncClient, body: dict[str, object]) -> httpx.Response:
    """The first answer that is not 409: the files are still on their way at first."""
    async with asyncio.timeout(DEADLINE_S):
        while (reply := await client.post("/v1/generate", json=body)).status_code == 409:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)
    return reply.raise_for_status()


async def test_a_missing_configuration_is_said_in_a_sentence() -> None:
    async with process() as nothing:
        _, stderr = await nothing.communicate()
        assert nothing.returncode == 1
        assert b"give --model, or the configuration of a pod" in stderr


async def test_the_stub_path_never_imports_torch(tmp_path: Path) -> None:
    """In a process of its own: serve one request with everything loaded, then look at what was imported."""
    path = write_adapter(tmp_path / "adapters", "one")
    script = f"""
import asyncio, sys
from pathlib import Path
from tests.runtime.pods import config, entry, settings, started
import lorapool_runtime.main, lorapool_runtime.standalone

async def main():
    async with started(settings(Path({str(tmp_path)!r}), config(Path({str(path.parent)!r})))) as pod:
        await pod.apply(entry(Path({str(path)!r})))
        await pod.until("default/one")
        assert (await pod.generate(adapters=[{{"key": "one"}}])).status_code == 200

asyncio.run(main())
print(sorted({{"torch", "diffusers", "transformers", "peft", "kubernetes", "kopf"}} & sys.modules.keys()))
"""
    checked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=Path(__file__).parents[2], stdout=PIPE, stderr=PIPE
    )
    stdout, stderr = await checked.communicate()
    assert checked.returncode == 0, stderr.decode()
    assert stdout.decode().splitlines()[-1] == "[]"


DEVICE_LOST = """
from lorapool_runtime.engine.stub import StubEngine
from lorapool_runtime.errors import DeviceLost
def lose(self, requests, waiting=0):
    raise DeviceLost("an illegal memory access was encountered")
StubEngine.render = lose
"""
RENDER_HANGS = """
import time
from lorapool_runtime.engine.stub import StubEngine
def hang(self, requests, waiting=0):
    time.sleep(3600)
StubEngine.render = hang
"""


@pytest.mark.parametrize(
    ("broken", "reason"), [(DEVICE_LOST, "illegal memory access"), (RENDER_HANGS, "has not come back")]
)
async def test_a_device_that_is_lost_or_hangs_ends_the_process_and_sends_its_requests_elsewhere(
    tmp_path: Path, broken: str, reason: str
) -> None:
    strict = Serving.model_validate({"requestTimeoutSeconds": 2, "defaults": {"width": 64, "height": 64, "steps": 1}})
    environment, serving, control = pod_environment(tmp_path, StubTimings(), serving=strict)
    environment["LORAPOOL_HUNG_SECONDS"] = "0.5"
    async with (
        patched(broken, environment) as pod,
        httpx.AsyncClient(base_url=serving, timeout=DEADLINE_S) as client,
    ):
        await until_ready(client, "/healthz")
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as operator:
            await operator.put(f"{control}/v1/catalog", json=Catalog.of(()).model_dump(mode="json"))
        await until_ready(client)
        reply = await client.post("/v1/generate", json={"prompt": "x"})
        assert (reply.status_code, reply.json()["retryable"]) in {(503, True), (504, False)}
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await pod.communicate()
        assert pod.returncode == 1
    (line,) = (line for line in errors.decode().splitlines() if "ended unexpectedly" in line)
    assert "OutOfService" in line
    assert reason in line
