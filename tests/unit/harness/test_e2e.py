"""What the e2e tests ask a cluster with."""

import socket
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.images import is_made_by


def test_a_gateway_that_refuses_connections_does_not_serve_yet() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but nobody listens
        cluster = Cluster("kubectl", Path("kubeconfig"), f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert not is_made_by(cluster, "some/one", "0" * 64)
