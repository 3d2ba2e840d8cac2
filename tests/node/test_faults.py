"""Ten thousand requests while each part is killed in turn: none is lost, none is answered by another adapter."""

import itertools
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import pool_with_files
from tests.node.harness.install import NAMESPACE

REQUESTS = int(os.environ.get("LORAPOOL_FAULTS_REQUESTS", "10000"))
CONCURRENT = 24
# As clients' libraries do where a connection is refused or cut: another try after each of these pauses.
PAUSES_S = (0.5, 1.0, 2.0)
CONTENTS = {name: files.lora_file(seed=50 + number) for number, name in enumerate(("one", "two", "three", "four"))}
PODS = 2
FORCE = ("--grace-period=0", "--force", "--wait=false")


@pytest.fixture(scope="module")
def system(installation: Cluster) -> Iterator[Cluster]:
    """The release, with two gateways."""
    made = Cluster(installation.kubectl, installation.kubeconfig, installation.gateway, NAMESPACE)
    made.run("scale", "deployment/lorapool-gateway", "--replicas=2")
    made.run("rollout", "status", "deployment/lorapool-gateway", "--timeout=60s")
    yield made
    made.run("scale", "deployment/lorapool-gateway", "--replicas=1")
    # Who finds the release next finds one gateway, and none that still finishes its requests.
    gateways = "app.kubernetes.io/component=gateway"
    wait_until(lambda: len(made.list("pods", gateways)) == 1, "one gateway is left", 100)


@pytest.fixture(scope="module")
def cluster(installation: Cluster, system: Cluster) -> Iterator[Cluster]:
    """A pool of two pods with four adapters."""
    with scratch_namespace(installation, "e2e-faults") as scratch:
        contents = {f"{name}.safetensors": content for name, content in CONTENTS.items()}
        scratch.apply(*pool_with_files("shapes", scratch.namespace, contents, replicas=PODS))
        scratch.apply(*(make.adapter_manifest(name, scratch.namespace) for name in CONTENTS))
        scratch.wait_ready("bmp", "shapes")
        scratch.wait_ready("lora", *CONTENTS)
        yield scratch
        scratch.delete("bmp", "shapes")


@dataclass
class Clients:
    """So many at once, each asking for one adapter after the other, until all requests are made and all is killed."""

    cluster: Cluster
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)
    all_is_killed: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        numbers = itertools.count(1)
        with ThreadPoolExecutor(CONCURRENT) as pool:
            for done in [pool.submit(self._work, numbers) for _ in range(CONCURRENT)]:
                done.result()

    def _work(self, numbers: Iterator[int]) -> None:
        with httpx.Client(timeout=120, trust_env=False) as client:
            while (number := next(numbers)) <= REQUESTS or not self.all_is_killed.is_set():
                self._ask(client, number)
                self.answered += 1

    def _ask(self, client: httpx.Client, number: int) -> None:
        name = list(CONTENTS)[number % len(CONTENTS)]
        url = f"{self.cluster.gateway}/models/{self.cluster.namespace}/{name}"
        body = {"inputs": "a red circle", "parameters": {"seed": number}}
        for pause_s in (*PAUSES_S, None):
            try:
                reply = client.post(url, json=body)
            except httpx.TransportError as error:
                if pause_s is None:
                    self.lost.append(f"{number}: {error!r}")
                    return
                self.repeated[type(error).__name__] += 1
                threading.Event().wait(pause_s)
                continue
            if reply.status_code != httpx.codes.OK:
                self.lost.append(f"{number}: {reply.status_code} {reply.text[:300]}")
                return
            made = [row["sha256"] for row in json.loads(reply.headers["x-lorapool-adapters"])]
            if made != [files.sha256(CONTENTS[name])] or reply.headers["x-lorapool-seed"] != str(number):
                self.wrong.append(f"{number}: {name} by {made}, seed {reply.headers['x-lorapool-seed']}")
            return


def pods_of(cluster: Cluster, component: str) -> list[str]:
    listed = cluster.list("pods", f"app.kubernetes.io/component={component}")
    return sorted(p["metadata"]["name"] for p in listed if "deletionTimestamp" not in p["metadata"])


def kill_processes(is_meant: Callable[[Path, list[str]], bool]) -> int:
    """SIGKILL for all processes of which that is so, by their folder in /proc and their command."""
    killed = 0
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if folder.name.isdecimal() and is_meant(folder, command):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
        except (OSError, ValueError):
            continue
    return killed


@dataclass
class Killer:
    """Kills one part after the other, and waits until it is there again."""

    cluster: Cluster
    system: Cluster

    def parts(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("operator", lambda: self._delete("operator")),
            ("gateway", lambda: self._delete("gateway")),
            ("runtime pod", self._runtime_pod),
            ("API server", self._api_server),
            ("runtime processes", self._runtime_process),
            ("other gateway", lambda: self._delete("gateway", last=True)),
        ]

    def _delete(self, component: str, *, last: bool = False) -> None:
        name = pods_of(self.system, component)[-1 if last else 0]
        self.system.run("delete", "pod", name, *FORCE)
        self.system.run("rollout", "status", f"deployment/lorapool-{component}", "--timeout=60s")

    def _runtime_pod(self) -> None:
        uid, name = min(self.cluster.pods("shapes").items())
        self.cluster.run("delete", "pod", name, *FORCE)
        wait_until(lambda: len(self.cluster.pods("shapes").keys() - {uid}) == PODS, "another pod is there")
        self._until_both_are_ready()

    def _runtime_process(self) -> None:
        name = min(self.cluster.pods("shapes").values())

        def is_of_pod(folder: Path, _: list[str]) -> bool:
            return f"POD_NAME={name}".encode() in (folder / "environ").read_bytes().split(b"\0")

        assert kill_processes(is_of_pod)
        self._until_both_are_ready()

    def _api_server(self) -> None:
        def is_ours(_: Path, command: list[str]) -> bool:
            is_server = Path(command[0]).name == "kube-apiserver"
            return is_server and any(str(self._folder) in word for word in command)

        assert kill_processes(is_ours) == 1
        wait_until(self._answers, "the API server is there again")

    def _answers(self) -> bool:
        try:
            return self.system.run("get", "--raw", "/readyz") == "ok"
        except AssertionError:
            return False

    def _until_both_are_ready(self) -> None:
        wait_until(lambda: self.cluster.get("bmp", "shapes")["status"]["readyReplicas"] == PODS, "both pods are ready")

    @property
    def _folder(self) -> Path:
        return self.cluster.kubeconfig.parent


@pytest.mark.timeout(1800)
def test_no_request_is_lost_while_each_part_is_killed_in_turn(cluster: Cluster, system: Cluster) -> None:
    clients, parts = Clients(cluster), Killer(cluster, system).parts()
    working = threading.Thread(target=clients.run)
    working.start()
    try:
        for number, (name, kill) in enumerate(parts, 1):
            due = number * REQUESTS // (len(parts) + 2)
            wait_until(lambda due=due: clients.answered >= due, f"{due} answers", 600.0)  # type: ignore[misc]
            print(f"{clients.answered}: the {name} is killed")
            kill()
    finally:
        clients.all_is_killed.set()
        working.join()
    print(f"{clients.answered} answered, repeated: {dict(clients.repeated)}")
    assert (clients.lost, clients.wrong) == ([], [])
    assert clients.answered >= REQUESTS
