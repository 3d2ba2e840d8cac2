"""NaN and infinity are found in every type of float, wherever they stand, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file

from lorapool_runtime.adapters.check import read_header
from lorapool_runtime.adapters.finite import first_not_finite

SPECIAL = [float("nan"), float("inf"), float("-inf"), -float("nan")]


def found(path: Path, array: Any) -> str | None:
    save_file({"before": np.ones(3, np.float32), "middle": array, "z": np.ones(5, np.float16)}, path)
    return first_not_finite(path, read_header(path))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("at", [0, 17, 999])
def test_one_special_value_is_found(tmp_path: Path, dtype: type, value: float, at: int) -> None:
    array: Any = np.ones(1000, dtype)
    array[at] = value
    assert found(tmp_path / "a.safetensors", array) == "middle"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_finite_values_pass(tmp_path: Path, dtype: type) -> None:
    limits = np.finfo(dtype)
    array: Any = np.array([limits.max, limits.min, limits.tiny, limits.smallest_subnormal, 0.0, -0.0], dtype)
    assert found(tmp_path / "a.safetensors", array) is None


@pytest.mark.parametrize(
    ("bits", "special"), [(0x7F80, True), (0xFF80, True), (0x7FC0, True), (0x7F7F, False), (0x3F80, False)]
)
def test_bfloat16_is_told_by_its_bits(tmp_path: Path, bits: int, special: bool) -> None:
    path = tmp_path / "a.safetensors"
    data = np.array([0x3F80, bits, 0x3F80], np.uint16).tobytes()
    header = json.dumps({"a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    assert (first_not_finite(path, read_header(path)) == "a") is special


@given(array=arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32)))
def test_it_agrees_with_numpy(tmp_path_factory: pytest.TempPathFactory, array: Any) -> None:
    path = tmp_path_factory.mktemp("finite") / "a.safetensors"
    assert (found(path, array) is None) == bool(np.isfinite(array).all())
