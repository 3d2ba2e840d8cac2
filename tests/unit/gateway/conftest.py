"""A pool with two adapters, as the tests of the gateway see it."""

import pytest
from tests.unit.gateway.fakes import FakePod, World


@pytest.fixture
def world() -> World:
    made = World()
    made.pool()
    made.adapter("pixel", modelIds=["nerijs/pixel-art-xl"])
    made.adapter("ink")
    return made


@pytest.fixture
def pod(world: World) -> FakePod:
    return world.pod()
