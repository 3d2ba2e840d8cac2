"""Small answers, read into memory: manifests, descriptions, tokens, which no disk may see."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from lorapool_api.fetch.policy import UrlFetch
from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Cancelled, Expected
from lorapool_runtime.sources.url import download

_NOWHERE: Final = Path("/dev/null")
_MOST_S: Final = 30.0


def read_small(begin: Callable[[], UrlFetch], max_bytes: int, headers: Mapping[str, str] | None = None) -> bytes:
    """The whole answer. Raises: AdapterError, as `download` does; too large, too slow."""
    body, start = bytearray(), time.monotonic()

    def collect(chunks: Iterable[bytes], _target: Path, expected: Expected, _cancelled: Cancelled) -> str:
        for chunk in chunks:
            body.extend(chunk)
            if len(body) > max_bytes:
                expected.check_size(len(body))
            if time.monotonic() - start > _MOST_S:
                raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{begin().shown} did not answer in time")
        return ""

    download(begin, _NOWHERE, Expected(None, None, max_bytes), lambda: False, collect, headers)
    return bytes(body)
