"""A Hub, and a reader of files' headers that may reach it."""

from collections.abc import AsyncIterator

import pytest
from tests.operator_hub import FakeHub

from lorapool_operator.sources.header import Headers


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as running:
        yield running


@pytest.fixture
async def headers(hub: FakeHub) -> AsyncIterator[Headers]:
    async with Headers((hub.host,)) as it:
        yield it
