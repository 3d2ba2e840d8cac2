"""The checks of an adapter file that need no base model."""

from pathlib import Path

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts, read_facts
from lorapool_api.lora.fit import check_rank
from lorapool_api.lora.header import LENGTH_BYTES, FactsError, Header, header_length, parse_checked, parse_header
from lorapool_runtime.adapters.finite import first_not_finite
from lorapool_runtime.errors import AdapterError


def read_header(path: Path) -> Header:
    """The checked header of a file. Raises: FactsError."""
    return parse_header(*_text_of(path))


def checked_header(path: Path) -> Header:
    """The header of a file that `check_file` has passed, without doing all of its work again. Raises: FactsError."""
    return parse_checked(*_text_of(path))


def _text_of(path: Path) -> tuple[bytes, int]:
    """The JSON of the header, and the size of the file."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
        return file.read(header_length(first, size_bytes)), size_bytes


def check_header(path: Path, max_rank: int) -> AdapterFacts:
    """The facts of a file of a known layout and an allowed rank.

    Raises:
        AdapterError: with the reason of the first check that fails.
    """
    try:
        facts = read_facts(read_header(path))
        check_rank(facts, max_rank)
    except FactsError as error:
        raise AdapterError.of(error) from error
    return facts


def check_weights(path: Path) -> None:
    """Read the whole file, whose header was checked.

    Raises:
        AdapterError: `InvalidWeights` where a weight is not finite.
    """
    try:
        name = first_not_finite(path, checked_header(path))
    except FactsError as error:
        raise AdapterError.of(error) from error
    if name:
        raise AdapterError(Reason.INVALID_WEIGHTS, f"tensor {name[:120]!r} holds NaN or infinity")


def check_file(path: Path, max_rank: int) -> AdapterFacts:
    """The facts of a file that can be served: known layout, allowed rank, finite weights.

    Raises:
        AdapterError: with the reason of the first check that fails.
    """
    facts = check_header(path, max_rank)
    check_weights(path)
    return facts
