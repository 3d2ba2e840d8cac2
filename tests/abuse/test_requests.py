"""Hostile requests of a few seeds; `make abuse` tries ten thousand of them."""

import pytest

from tests.abuse.campaign import attack_with
from tests.abuse.target import attacked

# What an allocator keeps of the largest bodies and pictures that were open at once, eight of each.
_MOST_GROWN_MIB = 160
# Connections that idle until a client of the gateway's own closes them.
_MOST_MORE_FILES = 24


@pytest.mark.timeout(240)
async def test_nothing_that_is_sent_breaks_stalls_or_swells_the_gateway_or_its_pod() -> None:
    async with attacked() as target:
        outcome = await attack_with(target, seed=1, count=200)
    assert outcome.findings == []
    assert outcome.kinds.total() == 200
    assert len(outcome.kinds) > 15
    grown = {name: round(outcome.grown_mib(name)) for name in outcome.after}
    assert max(grown.values()) < _MOST_GROWN_MIB, grown
    more_files = {name: outcome.more_files(name) for name in outcome.after}
    assert max(more_files.values()) <= _MOST_MORE_FILES, more_files
