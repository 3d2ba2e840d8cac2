"""The pool's checker over HTTP."""

from typing import Final

import aiohttp
from pydantic import ValidationError

from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_runtime.app.safety.verdict import NoVerdict, SafetyVerdict

_MAX_BYTES: Final = 64 << 10


async def ask(http: aiohttp.ClientSession, url: str, image: bytes, media_type: str) -> SafetyVerdict:
    """Its verdict on an encoded picture. Raises: NoVerdict."""
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
