"""A scene for all tests of a module: each plays with adapters of its own, and leaves none."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster.operator.faults import forks as forking
from tests.cluster.operator.faults.forks import Forks
from tests.cluster.operator.faults.scene import Scene, scene


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with forking.running() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare(plane: Any, tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> AsyncIterator[Scene]:
    """Nobody works in it yet."""
    async with scene(plane, tmp_path_factory.mktemp("faults"), forks) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(bare: Scene) -> AsyncIterator[Scene]:
    """A pool of two pods, and an operator that has made it."""
    operator = await bare.start_operator()
    await bare.it.make_pool(replicas=2)
    await bare.is_as_specified()
    yield bare
    await operator.end()
