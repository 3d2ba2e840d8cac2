"""A release of the chart on an embedded plane, by kubectl and helm."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster
from tests.waiting import wait_until

from lorapool_local.plane import Plane

NAMESPACE = "lorapool-system"
COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True)
class Tools:
    """kubectl and helm on the plane."""

    plane: Plane

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.run(self.plane.kubectl, words, stdin)

    def helm(self, *words: str) -> str:
        return self.run(self.plane.helm, (*words, "--namespace", NAMESPACE, "--wait", "--timeout", "90s"))

    @property
    def gateway(self) -> str:
        """Address of the gateway's Service, without a scheme."""
        spec = self.get("service", "lorapool-gateway", "-n", NAMESPACE)["spec"]
        return f"{spec['clusterIP']}:{spec['ports'][0]['port']}"

    @property
    def cluster(self) -> Cluster:
        return Cluster(str(self.plane.kubectl), self.plane.kubeconfig, f"http://{self.gateway}")

    def get(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def helm_test(self) -> str:
        """What `helm test` says."""
        words = ("test", "lorapool", "--namespace", NAMESPACE, "--timeout", "90s")
        return self.run(self.plane.helm, words)

    def pods(self, part: str) -> set[str]:
        """The release's pods of that part."""
        return set(self.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"{COMPONENT}={part}", "-o", "name").split())

    def restart(self, part: str) -> None:
        """Until none of the pods before is there."""
        before, deployment = self.pods(part), f"deployment/lorapool-{part}"
        self.kubectl("-n", NAMESPACE, "rollout", "restart", deployment)
        self.kubectl("-n", NAMESPACE, "rollout", "status", deployment, "--timeout=60s")
        wait_until(lambda: not before & self.pods(part), f"the {part} before it has gone")

    def run(self, program: Path, words: tuple[str, ...], stdin: str | None = None) -> str:
        command = [str(program), "--kubeconfig", str(self.plane.kubeconfig), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=110)
        assert done.returncode == 0, f"{program.name} {' '.join(words)}: {done.stderr}"
        return done.stdout
