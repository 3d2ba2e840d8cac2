"""The checks of an adapter file that need no base model."""

from pathlib import Path

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts, read_facts
from lorapool_api.lora.fit import check_rank
from lorapool_api.lora.header import LENGTH_BYTES, FactsError, Header, header_length, parse_header
from lorapool_runtime.adapters.finite import first_not_finite
from lorapool_runtime.errors import AdapterError


def read_header(path: Path) -> Header:
    """The checked header of a file. Raises: FactsError."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
        return parse_header(file.read(header_length(first, size_bytes)), size_bytes)


def check_header(path: Path, max_rank: int) -> AdapterFacts:
    """The facts of a file of a known layout and an allowed rank.

    Raises:
        AdapterError: with the reason of the first check that fails.
    """
    return _check(path, max_rank)[1]


def check_file(path: Path, max_rank: int) -> AdapterFacts:
    """The facts of a file that can be served: known layout, allowed rank, finite weights. Reads the whole file.

    Raises:
        AdapterError: with the reason of the first check that fails.
    """
    header, facts = _check(path, max_rank)
    if name := first_not_finite(path, header):
        raise AdapterError(Reason.INVALID_WEIGHTS, f"tensor {name[:120]!r} holds NaN or infinity")
    return facts


def _check(path: Path, max_rank: int) -> tuple[Header, AdapterFacts]:
    try:
        header = read_header(path)
        facts = read_facts(header)
        check_rank(facts, max_rank)
    except FactsError as error:
        raise AdapterError.of(error) from error
    return header, facts
