"""A client of pods."""

from collections.abc import AsyncIterator

import pytest

from lorapool_gateway.pods.client import PodClient


@pytest.fixture
async def client() -> AsyncIterator[PodClient]:
    async with PodClient() as made:
        yield made
