"""The chart on the node, as a user installs it, in a namespace that takes restricted pods alone."""

import json
import subprocess
from pathlib import Path
from typing import Final

from tests.e2e.cluster import RESTRICTED, Cluster
from tests.node.harness.images import REPOSITORY

from lorapool_local.binaries import Binaries
from lorapool_local.errors import LocalError

NAMESPACE: Final = "lorapool-system"
INSTALL: Final = ("install", "lorapool", str(REPOSITORY / "charts" / "lorapool"))
SETTINGS: Final = (
    "--namespace",
    NAMESPACE,
    "--values",
    str(REPOSITORY / "tests" / "e2e" / "kind-values.yaml"),
    "--wait",
    "--timeout=180s",
)


class InstallFailed(LocalError):
    """helm said no, or the release did not become ready."""


def install(binaries: Binaries, kubeconfig: Path, node_address: str) -> str:
    """Install the release and wait for it; the address of its gateway.

    By the node's own address: a port-forward would end with the gateway pod that a test kills.
    """
    cluster = Cluster(str(binaries.kubectl), kubeconfig, "", NAMESPACE)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
    command = [str(binaries.helm), "--kubeconfig", str(kubeconfig), *INSTALL, *SETTINGS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallFailed(f"{done.stderr.strip()}\n{cluster.run('get', 'pods,events', '-o', 'wide')}")
    service = json.loads(cluster.run("get", "service", "lorapool-gateway", "-o", "json"))["spec"]
    return f"http://{node_address}:{service['ports'][0]['nodePort']}"
