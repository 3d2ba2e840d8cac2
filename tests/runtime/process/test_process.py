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
from tests.runtime.pods import DEADLINE_S, TOKEN, config, free_port, settings, started
from tests.runtime.process.processes import process, until_ready
from tests.waiting import until_read

from lorapool_api import names
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.catalog import Catalog
from lorapool_common.http.server import Server


async def _until(client: httpx.AsyncClient, what: str, count: int) -> None:
    async def number() -> int:
        return int((await client.get("/v1/status")).json()[what])

    await until_read(number, lambda found: found == count, f"{count} {what}", DEADLINE_S)


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


async def test_a_reply_to_a_slow_client_has_what_is_left_of_the_grace_period(tmp_path: Path) -> None:
    given: list[float] = []

    class Ended(Server):
        def end(self, within_s: float) -> None:
            given.append(within_s)
            super().end(within_s)

    async with started(settings(tmp_path, config(tmp_path), grace_seconds=1000.0), make_server=Ended):
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
