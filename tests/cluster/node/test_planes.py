"""Several planes on one machine, and one plane after another on the same state."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from tests.cluster.conftest import plane_config
from tests.cluster.namespace import Namespace, Object, admin, container_status, is_ready

from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import NAMESPACES, PODS
from lorapool_local import plane as planes
from lorapool_local.access import plane_access
from lorapool_local.binaries import Binaries
from lorapool_local.config import Isolation
from lorapool_local.errors import PlaneAlreadyRunning
from lorapool_local.paths import StateDir
from lorapool_local.plane import Plane

# A daemon that has left its parent and its session, and a container that stays.
FORKING = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('daemon', flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""


class OtherPlane:
    """A second plane, whose pods are kept apart by folders alone; it can be killed and started again."""

    plane: Plane
    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, binaries: Binaries) -> None:
        self.folder = folder
        self._binaries = binaries
        self.start()

    def start(self) -> None:
        self.plane, self.process = planes.start(self.folder, self._binaries, plane_config(Isolation.FOLDERS))

    @contextlib.asynccontextmanager
    async def default_namespace(self) -> AsyncIterator[Namespace]:
        kube = await admin(self.plane)
        try:
            yield Namespace(kube, "default")
        finally:
            await kube.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, binaries: Binaries) -> Iterator[OtherPlane]:
    started = OtherPlane(tmp_path_factory.mktemp("other"), binaries)
    yield started
    planes.stop_process(started.process)
    planes.remove(started.folder)


async def test_two_planes_never_meet(plane: Plane, other: OtherPlane) -> None:
    ours, theirs = await admin(plane), await admin(other.plane)
    await theirs.create(NAMESPACES, None, {"metadata": {"name": "only-there"}})

    with pytest.raises(ApiError, match="not found"):
        await ours.get(NAMESPACES, None, "only-there")
    assert await theirs.get(NAMESPACES, None, "only-there")
    for client in (ours, theirs):
        await client.close()


async def test_a_client_of_one_plane_is_refused_by_another(plane: Plane, other: OtherPlane) -> None:
    our_authority = StateDir(plane.state_dir).secrets / "ca.crt"
    their_authority = StateDir(other.folder).secrets / "ca.crt"
    our_token = (StateDir(plane.state_dir).secrets / "admin.token").read_text()
    for authority, refusal in ((our_authority, "CERTIFICATE_VERIFY_FAILED"), (their_authority, "401")):
        stranger = Kube(plane_access(other.plane.server, authority, token=our_token))
        with pytest.raises(ApiError, match=refusal):
            await stranger.list(NAMESPACES)
        await stranger.close()


def test_a_folder_holds_one_plane(other: OtherPlane, binaries: Binaries) -> None:
    with pytest.raises(PlaneAlreadyRunning):
        planes.start(other.folder, binaries)


async def test_a_component_that_dies_is_started_again(other: OtherPlane) -> None:
    [apiserver] = [c for c in other.plane.report.components if c.name == "kube-apiserver"]
    assert apiserver.pid is not None
    process = psutil.Process(apiserver.pid)
    async with other.default_namespace() as namespace:
        await namespace.run("before", "import time; time.sleep(600)", terminationGracePeriodSeconds=0)
        await namespace.wait("pods/before", is_ready)

        process.kill()

        assert not psutil.wait_procs([process], timeout=10)[1]
        before = await namespace.wait("pods/before", is_ready, 60)
        assert container_status(before)["restartCount"] == 0
        await namespace.kube.delete(PODS, namespace.name, "before")
        await namespace.wait_gone("pods/before", 60)


async def test_after_a_crash_nothing_runs_and_the_next_start_goes_on(other: OtherPlane) -> None:
    async with other.default_namespace() as before:
        await before.create("configmaps", {"metadata": {"name": "kept"}, "data": {"a": "b"}})
        await before.run("keeper", FORKING)
        await before.wait_for_log("keeper", "daemon\n")
    family = psutil.Process(other.plane.pid).children(recursive=True)
    assert {"etcd", "kube-apiserver"} <= {process.name() for process in family}
    assert sum("time.sleep(600)" in " ".join(process.cmdline()) for process in family) == 2

    other.kill()

    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    other.start()
    async with other.default_namespace() as after:
        assert (await after.wait("configmaps/kept", lambda _: True))["data"] == {"a": "b"}
        pod = await after.wait("pods/keeper", has_run_again, 60)
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 137


async def test_after_an_orderly_end_pods_run_again(other: OtherPlane) -> None:
    async with other.default_namespace() as before:
        await before.run("returning", FORKING)
        await before.wait("pods/returning", is_ready)

    planes.stop_process(other.process)
    other.start()

    async with other.default_namespace() as after:
        await after.wait("pods/returning", has_run_again, 60)


def has_run_again(pod: Object) -> bool:
    return container_status(pod).get("restartCount") == 1 and is_ready(pod)
