"""The installation under test: one that the environment names, or one on the embedded plane with the stub engine."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

KUBECONFIG_ENV = "LORAPOOL_E2E_KUBECONFIG"
GATEWAY_ENV = "LORAPOOL_E2E_GATEWAY"


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """kubectl on a cluster that has the chart installed, and the address of its gateway."""
    if KUBECONFIG_ENV in os.environ:
        kubectl = shutil.which("kubectl")
        assert kubectl, "kubectl is not in PATH"
        yield Cluster(kubectl, Path(os.environ[KUBECONFIG_ENV]), os.environ[GATEWAY_ENV].rstrip("/"))
        return
    yield request.getfixturevalue("embedded_installation")
