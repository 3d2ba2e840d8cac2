"""A small file that comes with the answer to the question for it: between pods, one request instead of two.

Four bytes, big-endian: the length of a JSON object; that object (`FileFound`); then the file.
"""

from typing import Final

from lorapool_api.wire.fleet import FOUND_MAX_BYTES, FileFound

MEDIA_TYPE: Final = "application/vnd.lorapool.file"
# The most that a file may have to come with the answer. Larger ones are fetched, in ranges.
CARRIED_MAX_BYTES: Final = 128 << 10
ANSWER_MAX_BYTES: Final = FOUND_MAX_BYTES + CARRIED_MAX_BYTES
_LENGTH_BYTES: Final = 4


def joined(found: FileFound, content: bytes) -> bytes:
    """What is known of the file, and the file."""
    text = found.model_dump_json().encode()
    return b"".join((len(text).to_bytes(_LENGTH_BYTES, "big"), text, content))


def split(body: bytes) -> tuple[FileFound, bytes]:
    """What the other pod says of the file, and what it says is the file: its sha256 is yet to be checked.

    Raises:
        ValueError: it is no such answer.
    """
    length = int.from_bytes(body[:_LENGTH_BYTES], "big")
    start = _LENGTH_BYTES + length
    if length > FOUND_MAX_BYTES or start > len(body):
        raise ValueError("what is said of the file is longer than the answer")
    found = FileFound.model_validate_json(body[_LENGTH_BYTES:start])
    if len(body) - start != found.size_bytes:
        raise ValueError(f"the file has {len(body) - start} bytes; {found.size_bytes} were announced")
    return found, body[start:]
