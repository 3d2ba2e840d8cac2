"""Pictures by an address of this gateway, for a while: what OpenAI's clients get for `response_format: url`."""

import re
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request, Response

from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.errors import KeptGone
from lorapool_gateway.http.kept.passing import Answer, Passing
from lorapool_gateway.http.openai import described
from lorapool_gateway.kept.answers import KeptAnswer
from lorapool_gateway.kept.ids import KeptKind
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.pods.images import Image

PREFIX: Final = "/v1/images/files"
# A name of a host with its port, as a browser sends it; anything else is not repeated.
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_SCHEMES: Final = ("http", "https")


class ImageFiles:
    """Pictures that are kept; who knows the address of one needs no key."""

    def __init__(self, kept: Kept, public_url: str | None = None) -> None:
        """`public_url`: what they are below; None: the address that a request came to."""
        self._kept = kept
        self._public_url = public_url.rstrip("/") if public_url else None

    def base(self, request: Request) -> str:
        """The gateway's address as the client has it, to put a path behind; empty where that cannot be said."""
        return self._public_url or _address_of(request)

    async def keep(
        self, base: str, owner: bytes, format_: ImageFormat, images: Sequence[Image]
    ) -> tuple[str, ...] | None:
        """Their addresses below `base`; None: one is too large to be kept. `owner`: whose room they take."""
        made = []
        for image in images:
            id_ = self._kept.ids.new(KeptKind.IMAGE)
            answer = KeptAnswer(200, self._headers(format_), await image.raw())
            if not self._kept.answers.keep(id_, owner, answer):
                return None
            made.append(f"{base}{PREFIX}/{id_}.{format_.value}")
        return tuple(made)

    async def file(self, id_: str) -> Response:
        """It. Raises: KeptGone."""
        answer = self._kept.answers.get(id_)
        if answer is None:
            raise KeptGone(KeptKind.IMAGE, id_)
        return Response(answer.body, answer.status, dict(answer.headers))

    def answers(self) -> dict[tuple[str, str], Answer]:
        """What other gateways may ask, by method and path."""
        return {("GET", f"{KeptKind.IMAGE.value}s/{{id}}"): self.file}

    def _headers(self, format_: ImageFormat) -> dict[str, str]:
        return {
            "content-type": format_.media_type,
            "cache-control": f"private, max-age={int(self._kept.answers.keep_s)}",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
        }


def routes(files: ImageFiles, passing: Passing) -> APIRouter:
    """The router."""
    router = APIRouter(prefix=PREFIX)

    @router.api_route("/{name}", methods=["GET", "HEAD"], openapi_extra=described.file("A picture that is kept."))
    async def file(name: str) -> Response:
        return await passing.answered(KeptKind.IMAGE, name.partition(".")[0], b"", "GET", "", files.file)

    return router


def _address_of(request: Request) -> str:
    """What the request came to.

    Whoever ends TLS before the gateway says so by `x-forwarded-proto`.
    """
    host = request.headers.get("host", "")
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    scheme = said if said in _SCHEMES else request.url.scheme
    return f"{scheme}://{host}" if _HOST.fullmatch(host) else ""
