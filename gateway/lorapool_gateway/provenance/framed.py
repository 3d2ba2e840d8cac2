"""What goes to a process for pictures and comes back: a head of JSON, and a picture's bytes: pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

_LENGTH_BYTES: Final = 4


def framed(head: Mapping[str, Any], picture: bytes | memoryview = b"") -> bytes:
    """Both as one text of bytes, never empty."""
    text = json.dumps(head).encode()
    return b"".join((len(text).to_bytes(_LENGTH_BYTES, "big"), text, picture))


def unframed(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """The head and the picture. Raises: ValueError."""
    start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    head = json.loads(data[_LENGTH_BYTES:start])
    if not isinstance(head, dict):
        raise ValueError("the head is no object")  # noqa: TRY004 -- of bytes, whatever is wrong with them
    return head, memoryview(data)[start:]
