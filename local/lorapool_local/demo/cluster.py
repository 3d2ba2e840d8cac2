"""kubectl and helm on the plane of the demo, and the few things that it looks at."""

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter
from lorapool_local.plane import Plane

Object = dict[str, Any]


class CommandFailed(Exception):
    """kubectl or helm failed; the message is theirs."""


@dataclass(frozen=True)
class DemoCluster:
    """The plane of the demo, by its command-line tools."""

    plane: Plane

    def kubectl(self, *args: str) -> str:
        return self._run(str(self.plane.kubectl), "--kubeconfig", str(self.plane.kubeconfig), *args)

    def helm(self, *args: str) -> str:
        return self._run(str(self.plane.helm), "--kubeconfig", str(self.plane.kubeconfig), *args)

    def list(self, kind: str, selector: str = "") -> list[Object]:
        items: list[Object] = json.loads(self.kubectl("get", kind, "-A", "-l", selector, "-o", "json"))["items"]
        return items

    def snapshot(self) -> dict[str, str]:
        """uid -> kind and name of every pod and Deployment: what must not change when an adapter comes."""
        return {
            item["metadata"]["uid"]: f"{kind.removesuffix('s')} {item['metadata']['name']}"
            for kind in ("pods", "deployments")
            for item in self.list(kind)
        }

    def service_address(self, name: str, namespace: str = "default") -> str:
        service = json.loads(self.kubectl("get", "service", name, "-n", namespace, "-o", "json"))["spec"]
        return f"http://{service['clusterIP']}:{service['ports'][0]['port']}"

    def apply_and_time(self, folder: Path, expected: int, deadline_s: float) -> Mapping[str, tuple[Adapter, float]]:
        """Apply the adapters of a folder; name -> (adapter, seconds from the start of `kubectl apply` to Ready).

        Raises:
            CommandFailed: some are not Ready in time; the message says what their conditions say.
        """
        began = time.monotonic()
        self.kubectl("apply", "-f", str(folder))
        config.load_kube_config(str(self.plane.kubeconfig))
        api = client.CustomObjectsApi()
        seen: dict[str, Adapter] = {}
        ready: dict[str, tuple[Adapter, float]] = {}
        while len(ready) < expected:
            left_s = began + deadline_s - time.monotonic()
            if left_s <= 0:
                raise CommandFailed("; ".join(_first_problem(a) for a in seen.values() if a.metadata.name not in ready))
            events = watch.Watch().stream(
                api.list_cluster_custom_object,
                names.GROUP,
                names.VERSION,
                names.ADAPTER_PLURAL,
                timeout_seconds=max(1, round(left_s)),
            )
            for event in events:
                adapter = Adapter.model_validate(event["object"])
                seen[adapter.metadata.name] = adapter
                if adapter.is_ready and adapter.metadata.name not in ready:
                    ready[adapter.metadata.name] = adapter, time.monotonic() - began
                if len(ready) == expected:
                    break
        return ready

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 -- kubectl and helm, our arguments
        if done.returncode:
            raise CommandFailed(f"{Path(command[0]).name} {' '.join(command[3:])}: {done.stderr.strip()}")
        return done.stdout


def _first_problem(adapter: Adapter) -> str:
    problem = next((c for c in adapter.status.conditions if not c.is_true), None)
    return f"{adapter.metadata.name}: " + (f"{problem.reason}: {problem.message}" if problem else "no status yet")
