"""An adapter's tensors in one buffer: as they lie in the file where that will do, else joined."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.fuzz.corpus import ATTENTION, boards

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.adapters.check import check_file, read_header
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.engine.diffusers.weights.flat import Flat, flatten, read_bytes, tensor_of
from lorapool_runtime.engine.diffusers.weights.read import read_adapter
from lorapool_runtime.errors import AdapterError

ALIGNED = {"a": torch.randn(4, 32), "b": torch.randn(64)}


def laid_out(path: Path, dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor], Flat]:
    header = read_header(path)
    infos = header.tensors.values()
    data = read_bytes(path, infos, header.size_bytes)
    tensors = [tensor_of(data, header.tensors[name]) for name in sorted(header.tensors)]
    return data, tensors, flatten(data, infos, tensors, dtype)


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    path = folder / "a.safetensors"
    save_file(tensors, path)
    return path


def test_a_file_that_lies_as_the_buffer_should_is_not_copied(tmp_path: Path) -> None:
    data, _, flat = laid_out(saved(tmp_path, ALIGNED), torch.float32)

    assert flat.buffer.data_ptr() == data.data_ptr()
    assert flat.starts == [0, 128]


@pytest.mark.parametrize(
    ("tensors", "dtype"),
    [
        (ALIGNED, torch.bfloat16),
        ({"a": torch.tensor(2.0), **{k + "2": t for k, t in ALIGNED.items()}}, torch.float32),
    ],
    ids=["another dtype", "an alpha between"],
)
def test_any_other_is_joined(tmp_path: Path, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
    data, _, flat = laid_out(saved(tmp_path, tensors), dtype)

    assert flat.buffer.untyped_storage().data_ptr() != data.untyped_storage().data_ptr()


@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40)), min_size=1, max_size=6),
    of_file=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)
def test_every_tensor_is_there_in_the_dtype_and_starts_where_kernels_want_it(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[tuple[int, int]],
    of_file: torch.dtype,
    dtype: torch.dtype,
) -> None:
    made = {str(i): torch.randn(size).to(of_file) for i, size in enumerate(sizes)}
    _, tensors, flat = laid_out(saved(tmp_path_factory.mktemp("flat"), made), dtype)

    assert flat.buffer.dtype is dtype
    for tensor, start in zip(tensors, flat.starts, strict=True):
        there = flat.buffer[start : start + tensor.numel()].view(tensor.shape)
        assert torch.equal(there, tensor.to(dtype))
        assert there.data_ptr() % 64 == flat.buffer.data_ptr() % 64
    assert flat.buffer.isfinite().all()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 1e6])
@pytest.mark.parametrize("of_file", [torch.float32, torch.float16])
def test_what_the_dtype_cannot_hold_is_refused(tmp_path: Path, odd: float, of_file: torch.dtype) -> None:
    weights = torch.zeros(64)
    weights[17] = odd
    path = saved(tmp_path, {"a": weights.to(of_file)})

    with pytest.raises(AdapterError, match="float16 cannot hold") as refused:
        laid_out(path, torch.float16)
    assert refused.value.reason is Reason.INVALID_WEIGHTS


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, ALIGNED)
    header = read_header(path)
    path.write_bytes(path.read_bytes()[:-4])

    with pytest.raises(AdapterError, match="shorter"):
        read_bytes(path, header.tensors.values(), header.size_bytes)


def test_a_file_without_tensors_is_an_empty_buffer(tmp_path: Path) -> None:
    assert laid_out(saved(tmp_path, {}), torch.float32)[2].buffer.numel() == 0


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32])
def test_an_alpha_is_the_number_that_it_is_whatever_its_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    name = f"lora_unet_{ATTENTION.replace('.', '_')}_to_k"
    pair = {
        "lora_down.weight": torch.ones(2, 8),
        "lora_up.weight": torch.ones(12, 2),
        "alpha": torch.tensor(5, dtype=dtype),
    }
    path = saved(tmp_path, {f"{name}.{part}": tensor for part, tensor in pair.items()})
    file = AdapterFile(path, "0" * 64, check_file(path, max_rank=8))
    (slot,) = read_adapter(file, boards()["unet"], torch.float32, widths={}).slots
    assert slot.scale == 5 / 2
