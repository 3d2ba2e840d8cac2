"""What the last line of a pod's process tells the operator."""

import pytest

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.last_words import LastWords, last_words


def test_a_reason_is_read_from_the_last_line_of_the_log() -> None:
    words = LastWords(Reason.CACHE_NOT_WRITABLE, "user 65532 cannot write: Permission denied")
    said = f'{{"event": "starting"}}\nlorapool runtime: {words}\n'
    assert last_words(said) == words
    # As the operator puts the exit before it.
    assert last_words(f"Error with exit code 1: lorapool runtime: {words}") == words


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Killed",
        "lorapool runtime: CacheNotWritable: x\nand then something else",
        "lorapool runtime: NoSuchReason: x",
        "lorapool runtime: the configuration cannot be read: x",
    ],
)
def test_any_other_last_line_names_no_reason(said: str) -> None:
    assert last_words(said) is None
