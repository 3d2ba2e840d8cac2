"""The body of one request: in memory while it is small, else in a file, and its pictures with it."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Self, TypeVar

from lorapool_api.wire.request import MAX_PICTURE_BYTES
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.held import Bodies, Share
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.spool.disk import Disk, SpoolFile
from lorapool_gateway.spool.kinds import HEAD_BYTES, is_read
from lorapool_gateway.spool.pictures import (
    Keep,
    Picture,
    PictureBody,
    RequestPictures,
    Segment,
    StoredPictures,
    in_file,
    in_memory,
    mark,
    stored,
)

MEMORY_BYTES: Final = 1 << 20
# Of a body that goes to a file, so much is in memory at once.
_WRITTEN_BYTES: Final = 128 << 10
# A body of that size is read on the event loop; a larger one, of pictures, would hold up all others meanwhile.
SMALL_BODY_BYTES: Final = 64 << 10
# A body from a file is in memory while it is read, some three times over. Two at once would be no faster: the
# interpreter reads one after the other.
PARSED_AT_ONCE: Final = 1

Parsed = TypeVar("Parsed", bound=ImageRequest)


class Spool:
    """Where bodies of requests are, until their requests are answered."""

    def __init__(self, bodies: Bodies, disk: Disk | None = None, pictures: StoredPictures | None = None) -> None:
        """
        Args:
            bodies: bounds what is in memory.
            disk: for what is larger than `MEMORY_BYTES`; None: that is in memory too.
            pictures: of all requests; who sends them to pods looks there.
        """
        self.pictures = pictures or StoredPictures()
        self._bodies = bodies
        self._disk = disk
        self._parsing = asyncio.Semaphore(PARSED_AT_ONCE)

    def body(self) -> "SpooledBody":
        """For one request, which has it in a `with` until it is answered."""
        return SpooledBody(self._bodies.share(), self.pictures.of_request(), self._disk, self._parsing)


class SpooledBody:
    """A body that comes in pieces."""

    def __init__(
        self,
        share: Share,
        pictures: RequestPictures,
        disk: Disk | None,
        parsing: asyncio.Semaphore,
    ) -> None:
        self._share = share
        self._pictures = pictures
        self._disk = disk
        self._parsing = parsing
        self._files: ExitStack | None = None
        self._memory = bytearray()
        self._file: SpoolFile | None = None
        self._announced_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._files is not None:
                self._files.close()
        finally:
            self._pictures.close()
            self._share.close()

    def announce(self, size_bytes: int) -> None:
        """Say how large it will be: a large one does not gather in memory first."""
        self._announced_bytes = size_bytes

    async def add(self, chunk: bytes) -> None:
        """Raises: Busy, where there is no room for it."""
        self._share.grow(len(chunk))
        gathered_bytes = max(self._announced_bytes, len(self._memory) + len(chunk))
        if self._disk is not None and self._file is None and gathered_bytes > MEMORY_BYTES:
            self._file = self._file_on(self._disk)
        if self._file is not None and len(self._memory) + len(chunk) >= _WRITTEN_BYTES:
            await self._flush(self._file)
            await self._write(self._file, chunk)
        else:
            self._memory += chunk

    def clear(self) -> None:
        """Forget what is in memory: nobody will read it."""
        self._share.grow(-len(self._memory))
        self._memory = bytearray()

    def taken(self) -> bytes:
        """A body that is no larger than `MEMORY_BYTES`."""
        body, self._memory = bytes(self._memory), bytearray()
        return body

    async def whole(self) -> bytes:
        """All of it, in memory, once it is whole."""
        if self._file is None:
            return self.taken()
        await self._flush(self._file)
        async with self._parsing:
            return await asyncio.to_thread(self._file.read, 0, self._file.size_bytes)

    async def parsed(self, parse: Callable[[bytes], Parsed]) -> Parsed:
        """What it says, once it is whole. Its large pictures stay as they are, on disk where the body is.

        `parse` gets a `PictureBody` where it is one picture. Raises: what `parse` does; BadRequest.
        """
        file = self._file
        if file is not None:
            await self._flush(file)
            head = await asyncio.to_thread(file.read, 0, min(HEAD_BYTES, file.size_bytes))
            if is_read(head):
                return parse(self._picture(head, Segment(file, 0, file.size_bytes)))
            assert self._disk is not None  # noqa: S101 -- there is a file
            target = self._file_on(self._disk)
            async with self._parsing:
                asked, pictures = await asyncio.to_thread(_parsed_file, parse, file, in_file(target))
        elif is_read(head := bytes(self._memory[:HEAD_BYTES])):
            return parse(self._picture(head, self.taken()))
        elif len(self._memory) <= SMALL_BODY_BYTES:
            return parse(self.taken())
        else:
            # No variable holds it any longer: a held request keeps its pictures and nothing else.
            asked, pictures = await asyncio.to_thread(_parsed, parse, self.taken(), in_memory)
        self._pictures.add(pictures)
        return asked

    def _picture(self, head: bytes, picture: Picture) -> PictureBody:
        """The body as a picture. Raises: BadRequest."""
        size_bytes = picture.size_bytes if isinstance(picture, Segment) else len(picture)
        if size_bytes > MAX_PICTURE_BYTES:
            raise BadRequest(f"the picture has {size_bytes} bytes; at most {MAX_PICTURE_BYTES} are read")
        stands = mark()
        self._pictures.add({stands: picture})
        return PictureBody(head, stands)

    def _file_on(self, disk: Disk) -> SpoolFile:
        """One that goes with this."""
        self._files = self._files or ExitStack()
        return self._files.enter_context(disk.file())

    async def _flush(self, file: SpoolFile) -> None:
        data, self._memory = self._memory, bytearray()
        if data:
            await self._write(file, data)

    async def _write(self, file: SpoolFile, data: bytes | bytearray) -> None:
        await asyncio.to_thread(file.append, memoryview(data))
        self._share.grow(-len(data))


def _parsed(parse: Callable[[bytes], Parsed], body: bytes, keep: Keep) -> tuple[Parsed, dict[str, Picture]]:
    asked = parse(body)
    del body
    return stored(asked, keep)


def _parsed_file(parse: Callable[[bytes], Parsed], whole: SpoolFile, keep: Keep) -> tuple[Parsed, dict[str, Picture]]:
    asked = parse(whole.read(0, whole.size_bytes))
    whole.close()
    return stored(asked, keep)
