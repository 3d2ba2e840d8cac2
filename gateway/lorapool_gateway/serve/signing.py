"""Which pictures are signed before they leave, and that none leaves unsigned that is to be."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from lorapool_api.kinds.serving import Serving
from lorapool_api.rules.recipes.asked import NotAllowedHere, signs, writes_recipe
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import ImageFormat
from lorapool_common.observe.collectors import installed_version
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.pods.images import Image
from lorapool_gateway.provenance.failed import PictureNotSigned
from lorapool_gateway.provenance.manifest import PictureClaim
from lorapool_gateway.provenance.signer import SIGNED_FORMATS
from lorapool_gateway.routing.request import ResolvedRequest


class SignsPictures(Protocol):
    """Signs a picture. Raises: PictureNotSigned."""

    async def sign(self, picture: bytes | memoryview, format_: ImageFormat, claim: PictureClaim) -> bytes: ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PictureSigning:
    """What a pool and a request ask for, done."""

    def __init__(self, signer: SignsPictures | None = None, now: Callable[[], datetime] = _utc_now) -> None:
        """`signer`: None: this gateway has no key."""
        self._signer = signer
        self._now = now
        self._version = installed_version()

    def checked(self, request: ResolvedRequest, serving: Serving) -> ResolvedRequest:
        """The request as a pod gets it: nobody sees anything of pictures before they are signed, as wholes.

        Raises:
            BadRequest: the pool does not allow what is asked for, the format holds no signature, or the request alone
                wants one and there is no key.
            PictureNotSigned: the pool wants one and there is no key.
        """
        wanted = _is_signed(request, serving)
        if not wanted:
            return replace(request, content_credentials=False) if request.content_credentials else request
        format_ = request.generate.format
        if format_ not in SIGNED_FORMATS:
            listed = ", ".join(sorted(SIGNED_FORMATS))
            raise BadRequest(f"a picture in {format_} cannot be signed: ask for {listed}", param="content_credentials")
        if self._signer is None:
            raise _without_key(is_of_pool=signs(serving.provenance, None))
        generate = request.generate.model_copy(update={"previews": 0})
        return replace(request, generate=generate, content_credentials=True, passes_on=False)

    async def signed(
        self, request: ResolvedRequest, serving: Serving, reply: GenerateReply, images: tuple[Image, ...]
    ) -> tuple[Image, ...]:
        """The images as they may leave. Raises: PictureNotSigned."""
        signer = self._signer
        if not request.content_credentials or signer is None:
            return images
        if len(images) != len(reply.images):
            raise PictureNotSigned("pictures that are to be signed are not there whole")
        pictures = [await image.as_sent() for image in images]
        claims = zip(pictures, self._claims(request, serving, reply), strict=True)
        made = await asyncio.gather(*(signer.sign(picture, reply.format, claim) for picture, claim in claims))
        return tuple(Image(data, is_base64=False) for data in made)

    def _claims(self, request: ResolvedRequest, serving: Serving, reply: GenerateReply) -> list[PictureClaim]:
        said = request.generate
        has_recipe = writes_recipe(serving.provenance, said.metadata)
        return [
            PictureClaim(
                pool=request.pool,
                base=reply.base,
                revision=reply.base_revision,
                adapters=reply.adapters,
                seed=made.seed,
                of_picture=said.image is not None,
                made_at=self._now(),
                version=self._version,
                prompt=said.prompt if has_recipe else None,
                negative_prompt=said.negative_prompt if has_recipe else None,
            )
            for made in reply.images
        ]


def _without_key(*, is_of_pool: bool) -> BadRequest | PictureNotSigned:
    """What a gateway promises for a pool it owes; what a request asks for beyond that is not to be had here."""
    why = "this gateway has no key to sign pictures with (gateway.contentCredentials.secretName)"
    if not is_of_pool:
        return BadRequest(why, param="content_credentials")
    error = PictureNotSigned(why)
    error.should_retry = False
    return error


def _is_signed(request: ResolvedRequest, serving: Serving) -> bool:
    """Whether its pictures are to be signed. Raises: BadRequest, where the pool does not allow what is asked for."""
    try:
        writes_recipe(serving.provenance, request.generate.metadata)
        return signs(serving.provenance, request.content_credentials)
    except NotAllowedHere as error:
        raise BadRequest(str(error), param=error.field) from error
