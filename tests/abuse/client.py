"""One connection of a hostile client: sends what it has, whatever becomes of it, and reads what is answered."""

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass
from typing import Final

from tests.abuse.attacks.attack import Attack

# A pod that draws for others first answers within this.
ANSWER_S: Final = 60.0
_MOST_BYTES: Final = 64 << 20
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) [A-Z]")


@dataclass(frozen=True)
class Answered:
    """What came back.

    Attributes:
        statuses: of each answer, in their order.
        ended: whether the server ended the connection in time.
    """

    statuses: tuple[int, ...]
    ended: bool
    text: bytes = b""


async def send(host: str, port: int, attack: Attack) -> Answered:
    """Send the attack, read all that is answered."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        sending = asyncio.ensure_future(_send(writer, attack))
        if attack.goes:
            await sending
            return Answered((), ended=True)
        # Read meanwhile: a server may answer a body that it does not want before it has read all of it.
        try:
            async with asyncio.timeout(ANSWER_S):
                text = await _read(reader)
            return Answered(tuple(int(found) for found in _STATUS.findall(text)), ended=True, text=text)
        except TimeoutError:
            return Answered((), ended=False)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    finally:
        _reset(writer)


async def _send(writer: asyncio.StreamWriter, attack: Attack) -> None:
    with contextlib.suppress(OSError):
        for piece in attack.pieces:
            writer.write(piece)
            await writer.drain()
        if not attack.is_whole and not attack.goes:
            writer.write_eof()


async def _read(reader: asyncio.StreamReader) -> bytes:
    text = bytearray()
    with contextlib.suppress(ConnectionError):
        while len(text) < _MOST_BYTES and (piece := await reader.read(1 << 16)):
            text += piece
    return bytes(text)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close without waiting for what is on its way: the port is free at once."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()


class SlowClients:
    """Connections that send a byte of a request's head now and then, and never its end."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, count: int) -> None:
        """Open so many more."""
        for _ in range(count):
            _, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nx-slow: ")
            self._writers.append(writer)

    def drip(self) -> None:
        """One byte from each that is still connected."""
        for writer in self._writers:
            if not writer.is_closing():
                writer.write(b"a")

    def close(self) -> None:
        """End all of them."""
        for writer in self._writers:
            _reset(writer)
        self._writers.clear()
