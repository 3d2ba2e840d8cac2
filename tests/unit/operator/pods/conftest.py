"""Links that are cut at the end."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.operator.pods.linked import Pool


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    it = Pool()
    yield it
    it.links.close()
