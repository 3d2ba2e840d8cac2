"""What is kept going while a pod runs: probes, tokens, sizes of volumes, components."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from tests.waiting import until

from lorapool_common.kube.client import Kube
from lorapool_common.kube.resources import Resource
from lorapool_local.control_plane.component import Component, Program
from lorapool_local.errors import PlaneFailed
from lorapool_local.node.probes.handlers import ProbeTarget, ask, probe_client
from lorapool_local.node.probes.prober import Prober, watch_probe
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.environment import Placement
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.spec.probe import Handler, Probe
from lorapool_local.node.volumes.references import References
from lorapool_local.node.volumes.tokens import PodTokens
from lorapool_local.node.volumes.volumes import PodVolumes

OK, BAD = (0, ""), (1, "not yet")
EXEC = {"exec": {"command": ["check"]}, "periodSeconds": 0}


def target(*answers: tuple[int, str], container: Container | None = None, address: str = "127.0.0.1") -> ProbeTarget:
    """Whose command answers thus, and the last answer for ever."""
    waiting = list(answers)

    async def run(_: tuple[str, ...]) -> tuple[int, str]:
        await asyncio.sleep(0)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return ProbeTarget(container or Container(name="main"), address, run, probe_client())


async def verdicts(probe: Probe, *answers: tuple[int, str], count: int) -> list[bool]:
    """The first verdicts that are told."""
    told: list[bool] = []
    enough = asyncio.Event()

    def tell(ok: bool) -> None:
        told.append(ok)
        if len(told) == count:
            enough.set()

    watching = asyncio.create_task(watch_probe(probe, target(*answers), on_verdict=tell, on_failure=lambda _: None))
    await asyncio.wait_for(enough.wait(), 5)
    watching.cancel()
    return told


async def test_a_verdict_falls_after_its_number_of_failures() -> None:
    probe = Probe.model_validate({**EXEC, "failureThreshold": 3})

    # Two failures in a row are forgiven, three are not.
    assert await verdicts(probe, OK, BAD, BAD, OK, BAD, BAD, BAD, OK, count=3) == [True, False, True]


async def test_a_verdict_rises_after_its_number_of_successes() -> None:
    probe = Probe.model_validate({**EXEC, "failureThreshold": 1, "successThreshold": 2})

    assert await verdicts(probe, BAD, OK, BAD, OK, OK, count=2) == [False, True]


class Recorder:
    """What a container is told of its health."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_started(self) -> None:
        self.told.append("started")

    def on_ready(self, ready: bool) -> None:
        self.told.append("ready" if ready else "unready")

    def on_probe_failure(self, kind: str, message: str) -> None:
        self.told.append(f"{kind}: {message}")

    async def on_unhealthy(self, kind: str, probe: Probe) -> None:
        self.told.append(f"{kind} ill")


async def test_a_container_that_does_not_start_is_ill() -> None:
    container = Container.model_validate({"name": "main", "startupProbe": {**EXEC, "failureThreshold": 2}})
    recorder = Recorder()

    await Prober(container, target(BAD, container=container), recorder).watch()

    assert recorder.told == ["Startup: not yet", "Startup: not yet", "Startup ill"]


async def test_liveness_is_asked_only_after_the_start() -> None:
    probes = {"startupProbe": {**EXEC, "failureThreshold": 9}, "livenessProbe": {**EXEC, "failureThreshold": 1}}
    container = Container.model_validate({"name": "main", **probes})
    recorder = Recorder()

    await Prober(container, target(BAD, BAD, OK, BAD, container=container), recorder).watch()

    assert recorder.told[2:4] == ["started", "Liveness: not yet"]
    assert recorder.told[-1] == "Liveness ill"


@pytest.fixture
def http_port() -> Iterator[int]:
    """A server that answers with the status that its path names."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "ok"), [(200, True), (302, True), (404, False), (503, False)])
async def test_http_probes_judge_by_status(http_port: int, status: int, ok: bool) -> None:
    container = Container.model_validate({"name": "main", "ports": [{"name": "serving", "containerPort": http_port}]})
    handler = Handler.model_validate({"httpGet": {"port": "serving", "path": f"/{status}"}})

    assert (await ask(handler, target(OK, container=container), timeout_s=5)).ok is ok


@pytest.mark.parametrize(
    "handler",
    [
        {"httpGet": {"port": 9, "path": "/"}},
        {"tcpSocket": {"port": 9}},
        {"httpGet": {"port": "no-such-name"}},
        {"sleep": {"seconds": 60}},
        {},
    ],
)
async def test_what_goes_wrong_with_a_probe_is_its_answer(handler: dict[str, Any]) -> None:
    answer = await ask(Handler.model_validate(handler), target(OK), timeout_s=0.2)

    assert not answer.ok
    assert answer.message


POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "main"}]}}


class TokenApi:
    """Hands out numbered tokens that live for an hour."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.asked: list[dict[str, Any]] = []

    async def create(self, _: Resource, __: str, body: dict[str, Any], name: str, subresource: str) -> dict[str, Any]:
        assert (name, subresource) == ("default", "token")
        self.asked.append(body["spec"])
        expires = datetime.fromtimestamp(self.now + 3600, UTC).isoformat()
        return {"status": {"token": f"token-{len(self.asked)}", "expirationTimestamp": expires}}


async def test_a_token_is_bound_to_its_pod_and_renewed_in_time() -> None:
    api = TokenApi()
    tokens = PodTokens(cast(Kube, api), Pod.model_validate(POD), clock=lambda: api.now)

    assert await tokens.token("", 3600) == "token-1"
    api.now += 0.79 * 3600
    assert await tokens.token("", 3600) == "token-1"
    api.now += 0.02 * 3600
    assert await tokens.token("", 3600) == "token-2"
    assert api.asked[0]["boundObjectRef"]["uid"] == "u"
    assert tokens.next_renewal() == pytest.approx(api.now + 0.8 * 3600, abs=1)


async def test_a_volume_that_grows_too_large_is_noticed(tmp_path: Path) -> None:
    volumes = [{"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "free", "emptyDir": {}}]
    pod = Pod.model_validate({**POD, "spec": {"containers": [], "volumes": volumes}})
    kube = cast(Kube, TokenApi())
    placement = Placement("127.1.1.1", "127.1.0.1", "node", {})
    made = PodVolumes(pod, tmp_path, kube, References(kube), placement)
    await made.make()

    (tmp_path / "volumes" / "free" / "file").write_bytes(b"x" * 2**21)
    assert made.over_limit() is None
    (tmp_path / "volumes" / "cache" / "file").write_bytes(b"x" * 2**21)
    assert made.over_limit() == 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi".'


async def test_a_component_that_dies_again_and_again_ends_the_plane(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", "print('no such flag'); exit(1)"]
    dying = Component(Program("kube-nothing", command, tmp_path / "log", 0), pause_s=0.0)

    with pytest.raises(PlaneFailed, match=r"kube-nothing dies again and again:\n(no such flag\n?)+"):
        await asyncio.wait_for(dying.keep_running(), 30)


async def test_a_component_is_ended_at_once_without_patience(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    stubborn = Component(Program("deaf", [sys.executable, "-I", "-S", "-c", deaf], tmp_path / "log", 0))
    await stubborn.start()
    await until(lambda: "up" in (tmp_path / "log").read_text())

    await stubborn.stop(patience_s=0.1)

    assert stubborn.pid is None
