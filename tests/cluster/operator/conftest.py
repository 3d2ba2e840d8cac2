"""The operator on a plane, without a Hub."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster


@pytest.fixture
async def it(plane: Any, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, "http://127.0.0.1:1") as running:
        running.start_operator()
        yield running
