"""The head of a reply leaves together with what follows it at once, and alone where nothing does."""

import asyncio

import pytest

from lorapool_common.http.connection import HeadWithBody

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class RecordedWrites(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.written.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def below() -> RecordedWrites:
    return RecordedWrites()


async def joined(below: RecordedWrites) -> HeadWithBody:
    return HeadWithBody(below, asyncio.get_running_loop())


async def test_a_head_and_its_body_are_one_piece(below: RecordedWrites) -> None:
    transport = await joined(below)
    for body in (b"body", memoryview(b"a body")[2:]):
        transport.write(HEAD)
        transport.write(body)
    await asyncio.sleep(0)
    assert below.written == [HEAD + b"body"] * 2


async def test_a_head_waits_for_nothing_that_is_not_there(below: RecordedWrites) -> None:
    transport = await joined(below)
    transport.write(HEAD)
    assert (below.written, transport.get_write_buffer_size()) == ([], len(HEAD))
    await asyncio.sleep(0)
    assert (below.written, transport.get_write_buffer_size()) == ([HEAD], 0)
    transport.write(b"event")
    assert below.written == [HEAD, b"event"]


async def test_a_large_body_is_not_copied_for_it(below: RecordedWrites) -> None:
    transport = await joined(below)
    large = bytes(2 << 20)
    transport.write(HEAD)
    transport.write(large)
    assert below.written == [HEAD, large]


async def test_a_head_leaves_before_its_connection_is_closed(below: RecordedWrites) -> None:
    transport = await joined(below)
    transport.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert (below.written, below.is_closed) == ([HEAD], True)


async def test_everything_else_is_the_transports_own(below: RecordedWrites) -> None:
    transport = await joined(below)
    assert transport.get_extra_info("socket") is None
    transport.write(b"event: a\n\n")
    assert below.written == [b"event: a\n\n"]
