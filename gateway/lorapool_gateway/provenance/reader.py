"""Reads pictures that somebody asks about, one after the other, in a process with bounds of time and memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from lorapool_common.bounded.worker import BoundedWorker, OverBounds, WorkerUnavailable
from lorapool_gateway.errors import BadRequest, Busy
from lorapool_gateway.provenance.certificates import ContentKeys
from lorapool_gateway.provenance.failed import PictureNotRead
from lorapool_gateway.provenance.framed import framed, unframed
from lorapool_gateway.provenance.report import PictureReport, PictureTexts

_WORK: Final = "lorapool_gateway.provenance.read_work"
_MEMORY_BYTES: Final = 384 << 20
_CPU_S: Final = 5.0
_WALL_S: Final = 30.0
_MOST_WAITING: Final = 16

Read = TypeVar("Read")


class PictureReader:
    """Says whose a picture is, and what its file says. Lives on the event loop."""

    def __init__(self, keys: ContentKeys | None = None) -> None:
        """`keys`: those of this installation; None: it has none, and no picture is its own."""
        self._keys = keys
        self._worker = BoundedWorker(_WORK, memory_bytes=_MEMORY_BYTES, cpu_s=_CPU_S, wall_s=_WALL_S)
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def report(self, picture: Callable[[], Awaitable[bytes]]) -> PictureReport:
        """Whose it is; `picture` brings it when its turn comes. Raises: BadRequest, Busy, PictureNotRead."""
        known = self._keys.current().public_keys if self._keys else ()
        head = {"want": "report", "public_keys": [key.hex() for key in known]}
        return await self._asked(head, picture, PictureReport.model_validate)

    async def texts(self, picture: Callable[[], Awaitable[bytes]]) -> PictureTexts:
        """What its file says. Raises: BadRequest, Busy, PictureNotRead."""
        return await self._asked({"want": "texts"}, picture, PictureTexts.model_validate)

    def close(self) -> None:
        """End the process, and what it works on."""
        self._worker.close()

    async def _asked(
        self, head: Mapping[str, Any], picture: Callable[[], Awaitable[bytes]], read: Callable[[Any], Read]
    ) -> Read:
        if self._waiting >= _MOST_WAITING:
            raise Busy("as many pictures wait to be read as may")
        self._waiting += 1
        try:
            async with self._turn:
                request = framed(head, await picture())
                said, _ = await asyncio.wrap_future(self._worker.submit(request, unframed))
                if "error" in said:
                    raise BadRequest(str(said["error"]))
                return read(said)
        except OverBounds as error:
            raise BadRequest(f"the picture cannot be read: {error}") from error
        except (WorkerUnavailable, ValidationError, ValueError) as error:
            raise PictureNotRead("the picture could not be read just now") from error
        finally:
            self._waiting -= 1
