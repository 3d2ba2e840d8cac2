"""The pool's checker: each encoded picture is sent to it, and leaves by its verdict."""

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import aiohttp
import structlog
from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from lorapool_api.kinds.checks.safety import Safety, WithoutVerdict
from lorapool_api.wire.reply import ErrorCode
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_runtime.errors import RequestError

log = structlog.get_logger(__name__)

_MAX_BYTES: Final = 64 << 10
_SHOWN_CHARACTERS: Final = 300
UNCHECKED: Final = "the pool's checker gave no verdict on the pictures, and the pool lets them leave without"


class VerdictOutcome(StrEnum):
    """What came of one picture's check."""

    SAFE = "safe"
    REFUSED = "refused"
    FAILED = "failed"


class SafetyVerdict(BaseModel):
    """What a checker answers; what else it says is nobody's here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    safe: StrictBool
    reason: str = ""


class NoVerdict(Exception):
    """The checker was not reached, took too long, or answered something else; the text says what, without its URL."""


class SafetyChecker:
    """Asks about pictures. Without a checker of the pool's all may leave."""

    def __init__(self, safety: Safety | None, count: Callable[[str], None]) -> None:
        """`count` gets the outcome of each picture."""
        self._safety = safety
        self._count = count

    @property
    def has_checker(self) -> bool:
        """Whether pictures are looked at."""
        return self._safety is not None

    async def check(self, images: Sequence[bytes], media_type: str) -> tuple[str, ...]:
        """Return where all may leave, with what is to be said of them.

        Raises:
            RequestError: ContentRefused, where one may not; NotChecked, where a verdict is missing and the pool wants
                one of each.
        """
        safety = self._safety
        if safety is None:
            return ()
        # No redirect is followed and no proxy of the environment used: pictures go where the pool says.
        limit = aiohttp.ClientTimeout(total=safety.timeout_seconds)
        async with aiohttp.ClientSession(timeout=limit, auto_decompress=False) as http:
            asked = (self._verdict(http, safety.url, image, media_type) for image in images)
            verdicts = await asyncio.gather(*asked)
        refused = [verdict for verdict in verdicts if verdict is not None and not verdict.safe]
        if refused:
            raise RequestError(ErrorCode.CONTENT_REFUSED, _refusal(len(refused), len(images), refused[0].reason))
        if None not in verdicts:
            return ()
        if safety.without_verdict is WithoutVerdict.REFUSE:
            message = "the pool's checker gave no verdict on a picture, and without one none leaves"
            raise RequestError(ErrorCode.NOT_CHECKED, message, retryable=True)
        return (UNCHECKED,)

    async def _verdict(
        self, http: aiohttp.ClientSession, url: str, image: bytes, media_type: str
    ) -> SafetyVerdict | None:
        """None where there is none; the log says why."""
        try:
            verdict = await _ask(http, url, image, media_type)
        except NoVerdict as error:
            log.warning("the checker gave no verdict", error=str(error)[:_SHOWN_CHARACTERS])
            self._count(VerdictOutcome.FAILED.value)
            return None
        self._count((VerdictOutcome.SAFE if verdict.safe else VerdictOutcome.REFUSED).value)
        return verdict


async def _ask(http: aiohttp.ClientSession, url: str, image: bytes, media_type: str) -> SafetyVerdict:
    """Raises: NoVerdict."""
    headers = {"content-type": media_type, "accept": "application/json", "accept-encoding": "identity"}
    try:
        async with http.post(url, data=image, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                raise NoVerdict(f"status {answer.status}")
            body = await read_at_most(answer.content.iter_chunked(_MAX_BYTES), _MAX_BYTES)
    except TimeoutError:
        raise NoVerdict("no answer in time") from None
    except (aiohttp.ClientError, OSError, TooLarge, ValueError) as error:
        raise NoVerdict(type(error).__name__) from None
    try:
        return SafetyVerdict.model_validate_json(body)
    except ValidationError:
        raise NoVerdict("an answer that is no verdict") from None


def _refusal(refused: int, images: int, reason: str) -> str:
    which = "the picture" if images == 1 else f"{refused} of {images} pictures"
    why = f": {reason[:_SHOWN_CHARACTERS]}" if reason else ""
    return f"the pool's checker refused {which}{why}"
