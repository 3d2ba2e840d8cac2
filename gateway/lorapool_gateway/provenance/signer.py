"""Signs pictures, or says why it cannot."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Final

import structlog

from lorapool_api.wire.request import ImageFormat
from lorapool_common.bounded.worker import BoundedWorker, OverBounds, WorkerUnavailable
from lorapool_gateway.provenance.certificates import ContentKeys
from lorapool_gateway.provenance.failed import PictureNotSigned
from lorapool_gateway.provenance.framed import framed, unframed
from lorapool_gateway.provenance.manifest import PictureClaim, manifest_of

log = structlog.get_logger(__name__)

# Those that both C2PA and this project have.
SIGNED_FORMATS: Final = frozenset({ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.TIFF})
_WORK: Final = "lorapool_gateway.provenance.sign_work"
_MEMORY_BYTES: Final = 512 << 20
_CPU_S: Final = 10.0
_WALL_S: Final = 20.0
# Of a pod's whole answer.
_MOST_BYTES: Final = 256 << 20
_SHOWN_CHARACTERS: Final = 300
# A PNG of one pixel.
_PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


class PictureSigner:
    """Has pictures signed by a process that does nothing else. Lives on the event loop."""

    def __init__(self, keys: ContentKeys) -> None:
        self.keys: Final = keys
        self._worker = BoundedWorker(
            _WORK, memory_bytes=_MEMORY_BYTES, cpu_s=_CPU_S, wall_s=_WALL_S, reply_bytes=_MOST_BYTES
        )

    async def sign(self, picture: bytes | memoryview, format_: ImageFormat, claim: PictureClaim) -> bytes:
        """The picture with its manifest. Raises: PictureNotSigned."""
        key = self.keys.current()
        head = {
            "chain": key.chain.decode(),
            "key": key.key.decode(),
            "media_type": format_.media_type,
            "manifest": manifest_of(claim),
        }
        request = await asyncio.to_thread(framed, head, picture)
        try:
            said, signed = await asyncio.wrap_future(self._worker.submit(request, unframed))
        except (OverBounds, WorkerUnavailable, ValueError) as error:
            raise _failed(str(error)) from error
        if said.get("error") != "" or not signed:
            raise _failed(str(said.get("error")))
        return bytes(signed)

    async def try_out(self) -> None:
        """Sign a picture that nobody gets: what is wrong with the certificate shows in the log, before it is needed."""
        claim = PictureClaim("", "", "", (), 0, of_picture=False, made_at=datetime.now(UTC), version="")
        try:
            await self.sign(_PIXEL, ImageFormat.PNG, claim)
        except PictureNotSigned:
            log.warning("no picture can be signed: requests that need it fail until the certificate is renewed")

    def close(self) -> None:
        """End the process, and what it works on."""
        self._worker.close()


def _failed(why: str) -> PictureNotSigned:
    log.error("a picture could not be signed", error=why[:_SHOWN_CHARACTERS])
    return PictureNotSigned(
        "a picture was made and could not be signed, so it did not leave; the gateway's log says why"
    )
