"""The checker that the base brings along."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from PIL.Image import Image

from lorapool_runtime.app.safety.verdict import NoVerdict, SafetyVerdict

Flagged = Callable[[Sequence[Image]], Sequence[bool]]

_SAFE: Final = SafetyVerdict(safe=True)
_UNSAFE: Final = SafetyVerdict(safe=False, reason="not safe for work, by the base's own checker")


async def look(
    flagged: Flagged, thread: Executor, pictures: Sequence[Image], timeout_s: float
) -> tuple[SafetyVerdict, ...]:
    """Its verdicts on all pictures of a request, together; the thread looks at one request after the other.

    Raises: NoVerdict.
    """
    try:
        async with asyncio.timeout(timeout_s):
            found = await asyncio.get_running_loop().run_in_executor(thread, flagged, pictures)
    except TimeoutError:
        raise NoVerdict("no answer in time") from None
    # Whatever a device or a library says of it: nothing of the picture is known then.
    except Exception as error:  # noqa: BLE001
        raise NoVerdict(f"{type(error).__name__}: {error}") from None
    return tuple(_UNSAFE if flag else _SAFE for flag in found)
