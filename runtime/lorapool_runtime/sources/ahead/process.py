"""The other process, as the pod's event loop sees it."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

import structlog
from pydantic import SecretStr

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import Credentials
from lorapool_runtime.sources.ahead import child
from lorapool_runtime.sources.ahead.messages import (
    LENGTHS_BYTES,
    AheadAnswer,
    AheadOrder,
    AheadSetup,
    GivenByPod,
    framed,
    lengths,
)
from lorapool_runtime.sources.pods.peer_file import PeerFile

log = structlog.get_logger(__name__)

# Its threads have a tenth of the weight of the event loop's, where there are fewer cores than work.
NICE: Final = 10
# What is to be brought waits for it.
_START_S: Final = 20.0


class AheadGone(Exception):
    """The process has ended, or never came up."""


class AheadProcess:
    """Lives on the event loop.

    Attributes:
        is_gone: it takes no orders any more.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", orders: asyncio.WriteTransport) -> None:
        self._process = process
        self._orders = orders
        self._numbers = itertools.count(1)
        self._awaited: dict[int, asyncio.Future[AheadAnswer]] = {}
        self.is_gone = False

    @classmethod
    async def started(cls, setup: AheadSetup, command: Sequence[str] = (sys.executable, "-m", child.__name__)) -> Self:
        """One that takes orders. Its environment is this process's: sources are asked with the same tokens.

        Raises: AheadGone.
        """
        loop = asyncio.get_running_loop()
        try:
            process = _popen(command)
        except OSError as error:
            raise AheadGone(f"no process could be started: {error.strerror}") from error
        # Before it has threads: they take it over.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        try:
            orders, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
            made = cls(process, orders)
            await loop.connect_read_pipe(lambda: _Answers(made), process.stdout)
            async with asyncio.timeout(_START_S):
                await made._order(0, framed(setup))
        except BaseException:
            process.kill()
            process.wait()
            raise
        return made

    @property
    def pid(self) -> int:
        return self._process.pid

    async def fetch(self, entry: CatalogEntry, given: PeerFile | None, credentials: Credentials | None) -> AheadAnswer:
        """What came of the entry's file. Cancelling it gives the file up. Raises: AheadGone."""
        number, content, by_pod = next(self._numbers), b"", None
        if given is not None:
            content = given.content or b""
            by_pod = GivenByPod.model_construct(
                found=given.found,
                hosts=given.hosts,
                token=SecretStr(given.token),
                has_content=given.content is not None,
            )
        values = None if credentials is None else dict(credentials)
        order = AheadOrder.model_construct(number=number, entry=entry, given=by_pod, credentials=values)
        try:
            return await self._order(number, framed(order, content))
        except asyncio.CancelledError:
            self._send(framed(AheadOrder(number=number)))
            raise

    def answered(self, answer: AheadAnswer) -> None:
        """The process says so."""
        if (future := self._awaited.get(answer.number)) is not None and not future.done():
            future.set_result(answer)

    def end(self) -> None:
        """Let it end: there is nothing to do any more."""
        self.is_gone = True
        self._orders.close()

    def close(self) -> None:
        """End it now: whoever waits for a file is told."""
        self.is_gone = True
        if not self._orders.is_closing():
            self._orders.abort()
        self._process.kill()
        self._process.wait()
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(AheadGone("it has ended"))

    async def _order(self, number: int, frame: bytes) -> AheadAnswer:
        if self.is_gone:
            raise AheadGone("it has ended")
        answer: asyncio.Future[AheadAnswer] = asyncio.get_running_loop().create_future()
        self._awaited[number] = answer
        try:
            self._send(frame)
            return await answer
        finally:
            self._awaited.pop(number, None)

    def _send(self, frame: bytes) -> None:
        if not self._orders.is_closing():
            self._orders.write(frame)


def _popen(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 -- a module of ours


class _Answers(asyncio.Protocol):
    """Its standard output."""

    def __init__(self, process: AheadProcess) -> None:
        self._process = process
        self._received = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            while (answer := self._next()) is not None:
                self._process.answered(AheadAnswer.model_validate_json(answer))
        except ValueError as error:
            log.warning("an answer that is not understood", error=type(error).__name__)
            self._process.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._process.is_gone:
            log.warning("the process that brings files ahead has ended")
        self._process.close()
        if self._transport is not None:
            self._transport.close()

    def _next(self) -> bytes | None:
        if len(self._received) < LENGTHS_BYTES:
            return None
        end = LENGTHS_BYTES + lengths(bytes(self._received[:LENGTHS_BYTES]))[0]
        if len(self._received) < end:
            return None
        message = bytes(self._received[LENGTHS_BYTES:end])
        del self._received[:end]
        return message
