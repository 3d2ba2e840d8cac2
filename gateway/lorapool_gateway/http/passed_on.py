"""An answer that is passed on as its pod sends it."""

from collections.abc import Mapping

import structlog
from fastapi import Response
from starlette.types import Receive, Scope, Send

from lorapool_common.http.clients import ClientGone, unless_gone
from lorapool_gateway.pods.errors import PodError
from lorapool_gateway.pods.passing import ComingImage

log = structlog.get_logger(__name__)


class PassedOnImage(Response):
    """An image that comes; no more of it is in memory than the client is about to take.

    Where the pod breaks off, so does the answer: its status has been sent, and its length tells the client.
    """

    def __init__(self, image: ComingImage, media_type: str, headers: Mapping[str, str]) -> None:
        length = {"content-length": str(image.size_bytes)}
        super().__init__(media_type=media_type, headers={**headers, **length})
        self._image = image

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, unless the client goes."""
        try:
            await unless_gone(receive, self._send(send))
        except ClientGone:
            pass
        except PodError as error:
            log.warning("an image broke off on its way", error=str(error))
        finally:
            self._image.close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._image.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
