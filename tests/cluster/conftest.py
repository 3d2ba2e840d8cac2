"""A plane for all tests of this folder, and a client of it."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.cluster.namespace import Namespace

from lorapool_local import plane as planes
from lorapool_local.binaries import Binaries
from lorapool_local.config import BackoffConfig, Isolation, NodeConfig, PlaneConfig

PYTHON_IMAGE = "test/python"
"""Runs its first argument as a Python program."""


def plane_config(isolation: Isolation = Isolation.AUTO) -> PlaneConfig:
    """A node that knows a test image, and is quicker to start a container again than a real one."""
    node = NodeConfig(
        cpu="64",
        memory="64Gi",
        gpus=1,
        images={PYTHON_IMAGE: [sys.executable, "-u", "-c"]},
        backoff=BackoffConfig(initial_s=0.5, maximum_s=2.0),
        isolation=isolation,
    )
    # 15 s by default, which nobody waits for here.
    autoscaler = "--horizontal-pod-autoscaler-sync-period=1s"
    return PlaneConfig(node=node, extra_flags={"kube-controller-manager": [autoscaler]})


@pytest.fixture(scope="session")
def plane(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[planes.Plane]:
    folder: Path = tmp_path_factory.mktemp("plane")
    with planes.running(folder, binaries, plane_config(), purge=True) as started:
        yield started


@pytest.fixture
async def namespace(plane: planes.Plane) -> AsyncIterator[Namespace]:
    """A namespace of the test's own."""
    async with Namespace.created(plane) as created:
        yield created
