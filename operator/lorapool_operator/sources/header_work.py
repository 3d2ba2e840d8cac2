"""What the bounded process does for the operator: from the text of a header to the facts of the file."""

from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.facts_json import answered
from lorapool_api.lora.header import LENGTH_BYTES, parse_header


def request(text: bytes, size_bytes: int) -> bytes:
    """The header's JSON, and the size of the whole file, as `answer` takes them."""
    return size_bytes.to_bytes(LENGTH_BYTES, "little") + text


def answer(request: bytes) -> bytes:
    """The facts, or why the file has none, as JSON."""
    size_bytes = int.from_bytes(request[:LENGTH_BYTES], "little")
    return answered(lambda: read_facts(parse_header(request[LENGTH_BYTES:], size_bytes)))
