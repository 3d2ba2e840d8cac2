"""The cluster under test, known only by a kubeconfig and the address of a gateway."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import waiting

Manifest = dict[str, Any]
DEADLINE_S = 60.0

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Labels of a namespace that takes no pod but those of the strictest standard: many clusters have no others."""


@dataclass(frozen=True)
class Cluster:
    """kubectl on one cluster, in one namespace."""

    kubectl: str
    kubeconfig: Path
    gateway: str
    namespace: str = "default"

    def run(self, *args: str, stdin: str | None = None) -> str:
        """Standard output of kubectl; raises CalledProcessError with kubectl's own words."""
        command = [self.kubectl, "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=DEADLINE_S)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr}")
        return done.stdout

    def apply(self, *manifests: Manifest) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run("apply", "--server-side", "-f", "-", stdin=json.dumps(items))

    def delete(self, kind: str, name: str, *args: str) -> None:
        self.run("delete", kind, name, f"--timeout={DEADLINE_S:.0f}s", *args)

    def get(self, kind: str, name: str) -> Manifest:
        found: Manifest = json.loads(self.run("get", kind, name, "-o", "json"))
        return found

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        found: list[Manifest] = json.loads(self.run("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def condition(self, kind: str, name: str, type_: str = "Ready") -> Manifest:
        """The condition, if it is about the object's present generation; else an empty one."""
        found = self.get(kind, name)
        conditions = found.get("status", {}).get("conditions", [])
        return next(
            (
                c
                for c in conditions
                if c["type"] == type_ and c.get("observedGeneration") == found["metadata"]["generation"]
            ),
            {},
        )

    def wait_ready(self, kind: str, *names: str, deadline_s: float = DEADLINE_S) -> None:
        for name in names:
            wait_until(
                lambda name=name: self.condition(kind, name).get("status") == "True",  # type: ignore[misc]
                f"{kind} {name} is Ready",
                deadline_s,
                lambda name=name: self.get(kind, name).get("status"),  # type: ignore[misc]
            )

    def wait_reason(
        self, kind: str, name: str, reason: str, type_: str = "Ready", deadline_s: float = DEADLINE_S
    ) -> str:
        """Wait for a condition to carry the reason; its message."""
        wait_until(
            lambda: self.condition(kind, name, type_).get("reason") == reason,
            f"{kind} {name} says {reason}",
            deadline_s,
            describe=lambda: self.get(kind, name).get("status"),
        )
        return str(self.condition(kind, name, type_)["message"])

    def pods(self, pool: str) -> dict[str, str]:
        """uid -> name of the pool's pods that are not going."""
        return {
            p["metadata"]["uid"]: p["metadata"]["name"]
            for p in self.list("pods", f"lorapool.dev/pool={pool}")
            if "deletionTimestamp" not in p["metadata"]
        }


def wait_until(
    holds: Callable[[], bool],
    what: str,
    deadline_s: float = DEADLINE_S,
    describe: Callable[[], object] = lambda: "",
) -> None:
    """Ask until it holds; past the deadline fail with what was waited for and what was there."""
    waiting.wait_until(holds, what, deadline_s, describe)


@contextmanager
def scratch_namespace(cluster: Cluster, name: str, labels: Mapping[str, str] = RESTRICTED) -> Iterator[Cluster]:
    """A namespace for one module's objects."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}})
    try:
        yield Cluster(cluster.kubectl, cluster.kubeconfig, cluster.gateway, name)
    finally:
        cluster.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")
