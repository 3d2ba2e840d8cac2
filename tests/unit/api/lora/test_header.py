"""Headers of safetensors files are hostile input."""

import json
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import make

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import ADAPTER, BASE_MODEL, FactsError, HeaderLimits, header_length, parse_header


def refused(text: bytes, size_bytes: int, limits: HeaderLimits = ADAPTER) -> str:
    with pytest.raises(FactsError) as refusal:
        parse_header(text, size_bytes, limits)
    assert refusal.value.reason is Reason.INVALID_WEIGHTS
    return refusal.value.message


def entry(begin: int, end: int, shape: object = (4,), dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file_of(data_bytes: int, **tensors: object) -> tuple[bytes, int]:
    text = json.dumps(tensors).encode()
    return text, 8 + len(text) + data_bytes


def test_a_plain_header_is_read() -> None:
    text, size = make.safetensors_header({"a": (2, 3), "b": (4,)}, "F16")
    header = parse_header(text, size)
    assert header.tensors["b"].shape == (4,)
    assert (header.tensors["b"].begin, header.tensors["b"].end) == (12, 20)


@pytest.mark.parametrize(
    ("length", "size", "words"),
    [
        (1000, 500, "cut off"),
        (2**63, 500, "cut off"),
        (2**30, 2**40, "at most"),
    ],
)
def test_a_length_that_lies_is_refused(length: int, size: int, words: str) -> None:
    with pytest.raises(FactsError, match=words):
        header_length(length.to_bytes(8, "little"), size)


@pytest.mark.parametrize("first", [b"PK\x03\x04\x00\x00\x00\x00", b"\x80\x02}q\x00X\x00\x00"])
def test_a_pickle_under_another_name_is_refused(first: bytes) -> None:
    with pytest.raises(FactsError, match="pickle"):
        header_length(first, 10_000)


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x4B50])
def test_a_header_whose_length_looks_like_the_begin_of_a_pickle_is_read(length: int) -> None:
    assert header_length(length.to_bytes(8, "little"), 100_000) == length


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"version https", "Git LFS"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
    ],
)
def test_what_is_taken_for_safetensors_by_mistake_is_called_what_it_is(first: bytes, words: str) -> None:
    with pytest.raises(FactsError, match=words):
        header_length(first[:8], 130 if words == "Git LFS" else 2**30)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"a": entry(0, 16), "b": entry(8, 24)}, "overlap"),
        ({"a": entry(16, 32)}, "gap"),
        ({"a": entry(0, 20)}, "do not hold"),
        ({"a": entry(0, -16)}, "do not hold"),
        ({"a": entry(0, 16, [-4])}, "shape"),
        ({"a": entry(0, 16, [2.0, 2.0])}, "shape"),
        ({"a": entry(0, 16, [True, 4])}, "shape"),
        ({"a": entry(0, 16, [1] * 9)}, "shape"),
        ({"a": entry(0, 16, [2**62, 2**62])}, "shape"),
        ({"a": entry(0, 16, dtype="X")}, "dtype"),
        ({"a": {"dtype": "F32", "shape": [0], "data_offsets": [False, False]}}, "lacks"),
        ({"a\n": entry(0, 16)}, "printable"),
        ({"\ud800": entry(0, 16)}, "printable"),
        ({"a" * 513: entry(0, 16)}, "512"),
        ({"a": entry(0, 16) | {"more": "x" * 2000}}, "lacks"),
        ({"a": [1, 2]}, "lacks"),
        ({"a": entry(0, 16)}, "follow"),
        ({"__metadata__": {"a": 1}}, "__metadata__"),
    ],
)
def test_what_the_format_does_not_allow_is_refused(tensors: dict[str, object], words: str) -> None:
    assert words in refused(*file_of(32, **tensors))


def test_a_file_that_is_cut_off_is_refused() -> None:
    text, size = make.safetensors_header({"a": (100,)})
    assert "cut off" in refused(text, size - 1)


def test_tensors_may_stand_in_any_order() -> None:
    header = parse_header(*file_of(32, b=entry(16, 32), a=entry(0, 16)))
    assert (header.tensors["a"].begin, header.tensors["b"].begin) == (0, 16)


@pytest.mark.parametrize(
    "text", [b'{"a":[' + b"[]," * 2_000_000 + b"[]]}", b'{"__metadata__":{"a":' + b"[" * 4_000_000]
)
def test_a_header_costs_no_more_memory_than_its_length(text: bytes) -> None:
    """What all of JSON could say in as many bytes would be a hundred times them."""
    tracemalloc.start()
    try:
        refused(text, 8 + len(text), BASE_MODEL)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("limits", "tensors"), [(ADAPTER, 20_000), (BASE_MODEL, 50_000)])
def test_more_tensors_than_anybody_needs_are_refused(limits: HeaderLimits, tensors: int) -> None:
    names = b",".join(b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(tensors + 1))
    text = b"{" + names + b"}"
    assert f"the {tensors} that are read at most" in refused(text, 8 + len(text), limits)


def test_an_adapters_header_is_read_up_to_two_mebibytes_and_a_bases_beyond() -> None:
    size_bytes = 2**40
    length = (2 * 2**20).to_bytes(8, "little")
    assert header_length(length, size_bytes) == 2 * 2**20
    longer = (2 * 2**20 + 1).to_bytes(8, "little")
    with pytest.raises(FactsError, match="at most"):
        header_length(longer, size_bytes)
    assert header_length(longer, size_bytes, BASE_MODEL) == 2 * 2**20 + 1
    assert "at most" in refused(b" " * (2 * 2**20 + 1), size_bytes)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({f"{i:x}": "" for i in range(1_001)}, "1000 entries"),
        ({"a": "x" * 262_144}, "262144 bytes"),
        ({"a": "é" * 140_000}, "262144 bytes"),
        ({"a": "x" * 200_000, "b": "x" * 62_144}, "262144 bytes"),
    ],
)
def test_more_metadata_than_anybody_needs_is_refused(metadata: dict[str, str], words: str) -> None:
    text = json.dumps({"__metadata__": metadata}, ensure_ascii=False).encode()
    assert words in refused(text, 8 + len(text))


def test_metadata_within_its_limits_is_read() -> None:
    metadata = {f"{i:03}": "é" * 100 for i in range(1_000)}
    text = json.dumps({"__metadata__": metadata}, ensure_ascii=False).encode()
    assert parse_header(text, 8 + len(text)).metadata == metadata


@pytest.mark.parametrize("first", [b"AKIAIOSF", b"eyJhbGci", b"hunter2!"])
def test_what_is_no_safetensors_is_refused_without_a_word_of_it(first: bytes) -> None:
    """The first 8 bytes of a file are its header's length, and of a secret its first 8 letters."""
    for size_bytes in (40, 2**62):
        with pytest.raises(FactsError) as refusal:
            header_length(first, size_bytes)
        assert str(int.from_bytes(first, "little")) not in refusal.value.message
        assert str(size_bytes) not in refusal.value.message


def test_a_name_that_occurs_twice_is_refused() -> None:
    text = b'{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "a": {"dtype": "F32", "shape": [0]}}'
    refused(text, 8 + len(text))


def test_deep_nesting_is_refused() -> None:
    text = b"[" * 100_000 + b"]" * 100_000
    refused(text, 8 + len(text))


@given(st.binary(max_size=400), st.integers(min_value=0, max_value=2**63))
def test_any_bytes_are_a_header_or_a_refusal(text: bytes, size_bytes: int) -> None:
    with suppress(FactsError):
        parse_header(text, size_bytes)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.fixed_dictionaries(
            {},
            optional={
                "dtype": st.sampled_from(["F32", "F16", "I8", "Q"]) | st.none(),
                "shape": st.lists(st.integers(-2, 4) | st.floats() | st.booleans(), max_size=4) | st.none(),
                "data_offsets": st.lists(st.integers(-4, 64), max_size=3) | st.none(),
            },
        ),
        max_size=4,
    ),
    st.integers(0, 300),
)
def test_any_entries_are_a_header_or_a_refusal(entries: dict[str, object], data_bytes: int) -> None:
    text, size = file_of(data_bytes, **entries)
    try:
        header = parse_header(text, size)
    except FactsError:
        return
    assert sum(t.end - t.begin for t in header.tensors.values()) == data_bytes
