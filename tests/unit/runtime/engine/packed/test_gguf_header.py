"""The header of a GGUF file: as the format's own library writes it, and as a stranger may."""

import random
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize

from lorapool_runtime.engine.diffusers.packed.gguf.file import tensors_of
from lorapool_runtime.engine.diffusers.packed.gguf.header import HEADER_BYTES, MalformedGguf, parse_header
from lorapool_runtime.engine.diffusers.packed.weights import plain
from lorapool_runtime.errors import ModelError

NUMBERS = np.arange(128, dtype=np.float32).reshape(4, 32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """With values of every type, and an alignment of its own."""
    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, "flux")
    writer.add_custom_alignment(64)
    writer.add_string("general.name", "a base")
    writer.add_array("list.texts", ["one", "another"])
    writer.add_array("list.numbers", [1, 2, 3])
    adders = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
    for kind in adders:
        getattr(writer, f"add_{kind}")(f"a.{kind}", 7)
    writer.add_bool("a.bool", val=True)
    writer.add_tensor("whole", NUMBERS)
    writer.add_tensor("half", NUMBERS[:2].astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def header(*parts: bytes, tensors: int = 0, values: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + b"".join(parts)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)


def test_tensors_are_those_that_the_library_wrote(file: Path) -> None:
    found = tensors_of(file)
    assert {name: (tuple(t.shape), t.dtype) for name, t in found.items()} == {
        "whole": ((4, 32), torch.float32),
        "half": ((2, 32), torch.float16),
    }
    assert (found["whole"].numpy() == NUMBERS).all()
    assert (found["half"].float().numpy() == NUMBERS[:2]).all()
    expected = {t.name: (tuple(t.shape[::-1]), t.data_offset) for t in gguf.GGUFReader(file).tensors}
    assert {t.name: (t.shape, t.begin) for t in parse_header(file.read_bytes())} == expected


def every_kind() -> Any:
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES

    return [kind for kind in SUPPORTED_GGUF_QUANT_TYPES if kind is not Kind.BF16]


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.name)
def test_blocks_are_unpacked_as_the_library_unpacks_them(kind: Kind, tmp_path: Path) -> None:
    block, size_bytes = gguf.GGML_QUANT_SIZES[kind]
    dice = np.random.default_rng(kind.value)
    blocks = dice.integers(0, 256, (6, size_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):  # scales are any number, and none
        wanted = dequantize(blocks, kind)
    data = header(tensor(b"w", (2, 3 * block), kind.value), tensors=1)
    path = tmp_path / "a.gguf"
    path.write_bytes(data + b"\0" * (-len(data) % 32) + blocks.tobytes())
    weight: Any = tensors_of(path)["w"]
    weight.compute_dtype = torch.float32
    assert np.array_equal(plain(weight).numpy(), wanted.reshape(2, 3 * block), equal_nan=True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GGU", "longer than the file"),
        (b"PK\3\4" + bytes(30), "does not begin as a GGUF file"),
        (header(version=1), "its version is 1"),
        (header(tensors=2**40), "more than any denoiser has"),
        (header(values=2**40), "more than any denoiser has"),
        (header(text(b"a") + struct.pack("<I", 13), values=1), "has the type 13"),
        (header(text(b"a") + struct.pack("<IIQ", 9, 4, 2**60), values=1), "longer than the file"),
        (header(text(b"a") + struct.pack("<IIQ", 9, 8, 2**60), values=1), "longer than the file"),
        (header(text(b"a") + struct.pack("<IIQ", 9, 9, 1), values=1), "has the type 9"),
        (header(text(b"a") + struct.pack("<IQ", 8, 2**63), values=1), "longer than the file"),
        (header(text(b"general.alignment") + struct.pack("<II", 4, 0), values=1), "multiples of 0 bytes"),
        (header(struct.pack("<Q", 2**62), tensors=1), "a name in its header has"),
        (header(text(b"\xff"), tensors=1), "is no text"),
        (header(tensor(b"w", (1,) * 9, 0), tensors=1), "has 9 dimensions"),
        (header(tensor(b"w", (1,), 0), tensor(b"w", (1,), 0), tensors=2), "have one name"),
    ],
)
def test_a_header_that_cannot_be_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(MalformedGguf, match=words):
        parse_header(data)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (tensor(b"w", (2**40, 2**40), 0), "w ends beyond the file"),
        (tensor(b"w", (2, 32), 0, 2**63), "w ends beyond the file"),
        (tensor(b"w", (2, 31), 8), "no multiple of 32 numbers, a block of Q8_0"),
        (tensor(b"w", (), 8), "no multiple of 32 numbers"),
        (tensor(b"w", (2, 32), 16), "ggml's type 16: BF16, IQ4_NL"),
        (tensor(b"w", (2, 32), 2**31), "ggml's type 2147483648"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(one: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(header(one, tensors=1) + bytes(500))
    with pytest.raises(ModelError, match=words):
        tensors_of(path)


def test_whatever_is_changed_in_a_file_it_is_read_or_refused(file: Path, tmp_path: Path) -> None:
    data, dice = file.read_bytes(), random.Random(5)  # noqa: S311 -- a test wants the same numbers each time
    path, refused = tmp_path / "b.gguf", 0
    for _ in range(400):
        other = bytearray(data[: dice.randrange(8, len(data) + 1)] if dice.random() < 0.3 else data)
        for _ in range(dice.randrange(1, 4)):
            other[dice.randrange(min(len(other), 700))] = dice.randrange(256)
        path.write_bytes(other)
        try:
            tensors_of(path)
        except ModelError:
            refused += 1
    assert 200 < refused < 400


def test_no_more_than_a_header_is_read_of_a_long_list() -> None:
    texts = text(b"a") + struct.pack("<IIQ", 9, 8, 2**40) + bytes(HEADER_BYTES)
    with pytest.raises(MalformedGguf, match="longer than the file, or than that of any denoiser"):
        parse_header(header(texts, values=1)[:HEADER_BYTES])
