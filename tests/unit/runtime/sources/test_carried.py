"""A small file that comes with the answer to the question for it."""

import hashlib

import pytest

from lorapool_api.wire.fleet import FileFound
from lorapool_runtime.sources.pods import carried

CONTENT = bytes(range(256)) * 10
FOUND = FileFound(sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT), peft_config=b"{}")


def test_what_was_joined_is_split_again() -> None:
    found, content = carried.split(carried.joined(FOUND, CONTENT))
    assert content == CONTENT
    assert (found.sha256, found.size_bytes) == (FOUND.sha256, FOUND.size_bytes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff{}",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x05{}",
        b"\x00\x00\x00\x02[]" + CONTENT,
        carried.joined(FOUND, CONTENT)[:-1],
        carried.joined(FOUND, CONTENT) + b"x",
    ],
)
def test_what_is_no_such_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        carried.split(body)
