"""The installation under test: one that the environment names, or one on the embedded plane."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster import Cluster
from tests.e2e.embedded import embedded_installation

KUBECONFIG_ENV = "LORAPOOL_E2E_KUBECONFIG"
GATEWAY_ENV = "LORAPOOL_E2E_GATEWAY"


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """kubectl on a cluster that has the chart installed, and the address of its gateway."""
    if KUBECONFIG_ENV in os.environ:
        kubectl = shutil.which("kubectl")
        assert kubectl, "kubectl is not in PATH"
        yield Cluster(kubectl, Path(os.environ[KUBECONFIG_ENV]), os.environ[GATEWAY_ENV].rstrip("/"))
        return
    with embedded_installation(tmp_path_factory.mktemp("plane"), request.getfixturevalue("binaries")) as cluster:
        yield cluster
