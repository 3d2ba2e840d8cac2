"""lorapool on an embedded plane, installed by its chart."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.cluster import Cluster

from lorapool_local import plane as planes
from lorapool_local.binaries import Binaries
from lorapool_local.config import PlaneConfig

CHART = Path(__file__).parents[2] / "charts" / "lorapool"
NAMESPACE = "lorapool-system"


@contextmanager
def embedded_installation(folder: Path, binaries: Binaries, *values: str) -> Iterator[Cluster]:
    """A plane of its own for the length of the block, with operator and gateway running on it as pods.

    `values` are words for helm, such as `--set`.
    """
    with planes.running(folder, binaries, PlaneConfig(), purge=True) as plane:
        install: list[str | Path] = [
            "install",
            "lorapool",
            CHART,
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--wait",
            *values,
        ]
        subprocess.run([plane.helm, "--kubeconfig", plane.kubeconfig, *install, "--timeout=120s"], check=True)
        cluster = Cluster(str(plane.kubectl), plane.kubeconfig, "", NAMESPACE)
        service = json.loads(cluster.run("get", "service", "lorapool-gateway", "-o", "json"))["spec"]
        gateway = f"http://{service['clusterIP']}:{service['ports'][0]['port']}"
        yield Cluster(str(plane.kubectl), plane.kubeconfig, gateway)
