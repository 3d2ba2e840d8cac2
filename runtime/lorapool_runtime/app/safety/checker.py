"""The pool's checkers: each picture leaves by their verdict."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
import structlog
from PIL.Image import Image

from lorapool_api.kinds.checks.safety import Safety, WithoutVerdict
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.app.safety.own import Flagged, look
from lorapool_runtime.app.safety.remote import ask
from lorapool_runtime.app.safety.verdict import NoVerdict, SafetyVerdict, VerdictOutcome
from lorapool_runtime.errors import RequestError

log = structlog.get_logger(__name__)

_SHOWN_CHARACTERS: Final = 300
UNCHECKED: Final = "the pool's checker gave no verdict on the pictures, and the pool lets them leave without"


class SafetyChecker:
    """Asks about pictures: the base's own checker first, then the one over HTTP. Without either all may leave."""

    def __init__(self, safety: Safety | None, count: Callable[[str], None], flagged: Flagged) -> None:
        """`count` gets the outcome of each picture; `flagged` is the base's own checker, for any thread."""
        self._safety = safety
        self._count = count
        self._flagged = flagged
        self._thread = ThreadPoolExecutor(1, "checker")

    @property
    def has_checker(self) -> bool:
        """Whether pictures are looked at."""
        return self._safety is not None

    def close(self) -> None:
        """Look at nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def check(self, pictures: Sequence[Image], encoded: Sequence[bytes], media_type: str) -> tuple[str, ...]:
        """Return where all may leave, with what is to be said of them. `encoded` is what is sent of the pictures.

        Raises:
            RequestError: ContentRefused, where one may not; NotChecked, where a verdict is missing and the pool wants
                one of each.
        """
        safety = self._safety
        if safety is None:
            return ()
        is_missing = False
        if safety.pipeline:
            is_missing |= self._judge(await self._own_verdicts(safety, pictures))
        if safety.url is not None:
            is_missing |= self._judge(await self._remote_verdicts(safety, safety.url, encoded, media_type))
        if not is_missing:
            return ()
        if safety.without_verdict is WithoutVerdict.REFUSE:
            message = "the pool's checker gave no verdict on a picture, and without one none leaves"
            raise RequestError(ErrorCode.NOT_CHECKED, message, retryable=True)
        return (UNCHECKED,)

    def _judge(self, verdicts: Sequence[SafetyVerdict | None]) -> bool:
        """Whether one is missing. Raises: RequestError (ContentRefused)."""
        for verdict in verdicts:
            self._count((VerdictOutcome.FAILED if verdict is None else verdict.outcome).value)
        refused = [verdict for verdict in verdicts if verdict is not None and not verdict.safe]
        if refused:
            raise RequestError(ErrorCode.CONTENT_REFUSED, _refusal(len(refused), len(verdicts), refused[0].reason))
        return None in verdicts

    async def _own_verdicts(self, safety: Safety, pictures: Sequence[Image]) -> Sequence[SafetyVerdict | None]:
        try:
            return await look(self._flagged, self._thread, pictures, safety.timeout_seconds)
        except NoVerdict as error:
            _tell(error)
            return [None for _ in pictures]

    async def _remote_verdicts(
        self, safety: Safety, url: str, encoded: Sequence[bytes], media_type: str
    ) -> Sequence[SafetyVerdict | None]:
        # No redirect is followed and no proxy of the environment used: pictures go where the pool says.
        limit = aiohttp.ClientTimeout(total=safety.timeout_seconds)
        async with aiohttp.ClientSession(timeout=limit, auto_decompress=False) as http:
            return await asyncio.gather(*(_asked(http, url, image, media_type) for image in encoded))


async def _asked(http: aiohttp.ClientSession, url: str, image: bytes, media_type: str) -> SafetyVerdict | None:
    """None where there is no verdict; the log says why."""
    try:
        return await ask(http, url, image, media_type)
    except NoVerdict as error:
        _tell(error)
        return None


def _tell(error: NoVerdict) -> None:
    log.warning("the checker gave no verdict", error=str(error)[:_SHOWN_CHARACTERS])


def _refusal(refused: int, images: int, reason: str) -> str:
    which = "the picture" if images == 1 else f"{refused} of {images} pictures"
    why = f": {reason[:_SHOWN_CHARACTERS]}" if reason else ""
    return f"the pool's checker refused {which}{why}"
