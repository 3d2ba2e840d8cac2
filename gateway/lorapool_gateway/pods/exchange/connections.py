"""Connections to pods: kept while they idle for a while, and made anew."""

import asyncio
from collections import deque
from typing import Final

from lorapool_gateway.pods.exchange.connection import PodConnection

# The servers of pods close a connection that has idled for 75 s; this side goes first.
IDLE_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 3.0
_READ_BYTES: Final = 256 << 10

HostPort = tuple[str, int]


class PodConnections:
    """All connections for requests, as many as there are requests at once."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._buffer = memoryview(bytearray(_READ_BYTES))
        # Those that idle, the last one used last.
        self._idle: dict[HostPort, deque[PodConnection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def kept(self, place: HostPort) -> PodConnection | None:
        """One that was used before, no longer ago than `idle_s`; None: there is none."""
        idle = self._idle.get(place)
        since_s = asyncio.get_running_loop().time() - self._idle_s
        while idle:
            connection = idle.pop()
            if connection.is_usable and connection.idle_since_s > since_s:
                return connection
            connection.abort()
        return None

    async def made(self, place: HostPort) -> PodConnection:
        """A new one. Raises: OSError, which a TimeoutError is, where none can be made."""
        loop = asyncio.get_running_loop()

        def keep(connection: PodConnection) -> None:
            self._keep(place, connection)

        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(lambda: PodConnection(self._buffer, keep), *place)
        return connection

    def close(self) -> None:
        """End those that idle; others end with their requests."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def _keep(self, place: HostPort, connection: PodConnection) -> None:
        if self._is_closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        self._idle.setdefault(place, deque()).append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        """End those that have idled for too long, and look again while there are others."""
        loop = asyncio.get_running_loop()
        since_s = loop.time() - self._idle_s
        for place, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since_s <= since_s or not idle[0].is_usable):
                idle.popleft().abort()
            if not idle:
                del self._idle[place]
        self._sweep = loop.call_later(self._idle_s, self._end_idle) if self._idle else None
