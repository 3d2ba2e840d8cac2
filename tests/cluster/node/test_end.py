"""How pods end."""

import time
from pathlib import Path

from tests.cluster.namespace import Namespace, container_status

from lorapool_common.kube.resources import PODS

SLOW_TO_END = """
import pathlib, signal, time
def end(*_):
    pathlib.Path('/notes/ended').write_text('in order')
    raise SystemExit
signal.signal(signal.SIGTERM, end)
pathlib.Path('/notes/started').touch()
time.sleep(60)
"""
STUBBORN = SLOW_TO_END.replace("raise SystemExit", "pass").replace(
    "time.sleep(60)", "[time.sleep(1) for _ in range(60)]"
)


def notes(folder: Path) -> dict[str, object]:
    return {
        "container": {"volumeMounts": [{"name": "notes", "mountPath": "/notes"}]},
        "volumes": [{"name": "notes", "hostPath": {"path": str(folder)}}],
    }


async def started(namespace: Namespace, name: str, folder: Path) -> None:
    await namespace.wait(f"pods/{name}", lambda _: (folder / "started").exists())


async def test_a_deleted_pod_ends_in_order(namespace: Namespace, tmp_path: Path) -> None:
    await namespace.run("gentle", SLOW_TO_END, **notes(tmp_path))
    await started(namespace, "gentle", tmp_path)

    await namespace.kube.delete(PODS, namespace.name, "gentle")

    await namespace.wait_gone("pods/gentle", timeout_s=10)
    assert (tmp_path / "ended").read_text() == "in order"


async def test_a_container_that_ignores_sigterm_is_killed_after_its_grace(namespace: Namespace, tmp_path: Path) -> None:
    await namespace.run("stubborn", STUBBORN, terminationGracePeriodSeconds=1, **notes(tmp_path))
    await started(namespace, "stubborn", tmp_path)
    began = time.monotonic()

    await namespace.kube.delete(PODS, namespace.name, "stubborn")

    await namespace.wait_gone("pods/stubborn", timeout_s=10)
    assert time.monotonic() - began >= 1
    assert (tmp_path / "ended").exists()


async def test_the_hook_runs_before_sigterm(namespace: Namespace, tmp_path: Path) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "test -e /notes/ended || touch /notes/hook-was-first"]}}}
    spec = notes(tmp_path)
    spec["container"] = {**spec["container"], "lifecycle": hook}  # type: ignore[dict-item]  # a dict, see `notes`
    await namespace.run("hooked", SLOW_TO_END, **spec)
    await started(namespace, "hooked", tmp_path)

    await namespace.kube.delete(PODS, namespace.name, "hooked")

    await namespace.wait_gone("pods/hooked", timeout_s=10)
    assert (tmp_path / "hook-was-first").exists()
    assert (tmp_path / "ended").exists()


async def test_descendants_end_with_their_container(namespace: Namespace, tmp_path: Path) -> None:
    # A daemon of its own session, that has left its parent and writes for as long as it lives.
    script = """
import os, pathlib, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            pathlib.Path('/notes/next').write_text(str(time.monotonic()))
            os.replace('/notes/next', '/notes/beat')
            time.sleep(0.01)
    os._exit(0)
while not pathlib.Path('/notes/beat').exists(): time.sleep(0.01)
"""
    await namespace.run("parent", script, restartPolicy="Never", **notes(tmp_path))
    await namespace.ended("parent")

    ended_at = time.monotonic()
    # Another pod's whole life later, the daemon has not written since.
    await namespace.run("later", "pass", restartPolicy="Never")
    await namespace.ended("later")
    assert float((tmp_path / "beat").read_text()) <= ended_at


async def test_a_volume_outlives_a_restart_of_its_container(namespace: Namespace) -> None:
    script = "import pathlib; f = pathlib.Path('/work-of-pod/n'); n = int(f.read_text()) if f.exists() else 0; "
    script += "f.write_text(str(n + 1)); print(n); exit(n < 2)"
    await namespace.run(
        "counter",
        script,
        container={"volumeMounts": [{"name": "work", "mountPath": "/work-of-pod"}]},
        volumes=[{"name": "work", "emptyDir": {}}],
        restartPolicy="OnFailure",
    )

    await namespace.ended("counter")

    assert await namespace.log("counter") == "2\n"
    assert container_status(await namespace.wait("pods/counter", lambda _: True))["restartCount"] == 2
