"""Bodies that are read within a limit."""

from collections.abc import AsyncIterator

import pytest

from lorapool_common.http.bodies import TooLarge, read_at_most


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"ab"


async def test_a_body_up_to_the_limit_is_read() -> None:
    assert await read_at_most(pieces(3), 6) == b"ababab"


async def test_what_follows_the_limit_is_not_read() -> None:
    body = pieces(1000)
    with pytest.raises(TooLarge, match="larger than 5 bytes"):
        await read_at_most(body, 5)
    assert len([piece async for piece in body]) == 997
