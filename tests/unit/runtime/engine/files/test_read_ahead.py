"""Which of a base's files are read ahead, and how much of them."""

import json
from pathlib import Path

import pytest

from lorapool_runtime.engine.files.host_memory import available_bytes
from lorapool_runtime.engine.files.read_ahead import advise_all, weight_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    index = {"_class_name": "A", "unet": ["diffusers", "B"], "text_encoder": ["transformers", "C"], "../x": ["d", "D"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for name, size_bytes in {
        "unet/diffusion_pytorch_model.safetensors": 20_000_000,
        "unet/diffusion_pytorch_model.fp16.safetensors": 10,
        "text_encoder/model-00001-of-00002.safetensors": 7,
        "text_encoder/model-00002-of-00002.safetensors": 5,
        "text_encoder/pytorch_model.bin": 3,
        "unused/model.safetensors": 9,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size_bytes)
    return tmp_path


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        (None, ["diffusion_pytorch_model", "model-00001-of-00002", "model-00002-of-00002"]),
        ("fp16", ["diffusion_pytorch_model.fp16", "model-00001-of-00002", "model-00002-of-00002"]),
    ],
)
def test_the_files_that_will_be_loaded(folder: Path, variant: str | None, names: list[str]) -> None:
    assert [path.name.removesuffix(".safetensors") for path in weight_files(folder, variant)] == names


def test_what_will_not_be_loaded_is_left_out(folder: Path) -> None:
    assert [path.parent.name for path in weight_files(folder, None, ("text_encoder",))] == ["unet"]


def test_all_of_them_is_asked_for_as_far_as_memory_goes(folder: Path) -> None:
    asked: list[tuple[int, int]] = []
    files = weight_files(folder, None)
    assert advise_all(files, 10**9, lambda _, offset, length: asked.append((offset, length))) == 20_000_012
    assert asked == [(0, 2**23), (2**23, 2**23), (2**24, 20_000_000 - 2**24), (0, 7), (0, 5)]
    asked.clear()
    assert advise_all(files, 2**23 + 1, lambda _, offset, length: asked.append((offset, length))) == 2**23 + 1
    assert asked == [(0, 2**23), (2**23, 1)]


def test_what_cannot_be_read_is_left_to_who_loads_it(folder: Path) -> None:
    def fails(file: int, offset: int, length: int) -> None:
        raise OSError("not here")

    assert advise_all([folder / "gone", *weight_files(folder, None)], 10**9, fails) == 0
    assert weight_files(folder / "unet", None) == []
    (folder / "model_index.json").write_text("[]")
    assert weight_files(folder, None) == []


def test_memory_that_is_available(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    assert available_bytes(memory, tmp_path) == 0
    memory.write_text("MemTotal:       8 kB\nMemAvailable:       5 kB\n")
    assert available_bytes(memory, tmp_path) == 5 * 1024


def test_memory_that_a_containers_limit_leaves(tmp_path: Path) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemAvailable:       500 kB\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("8000\n")
    (tmp_path / "memory.stat").write_text("anon 5000\ninactive_file 1000\n")
    assert available_bytes(memory, tmp_path) == 500 * 1024, "no limit"
    (tmp_path / "memory.max").write_text("10000\n")
    assert available_bytes(memory, tmp_path) == 3000, "2000 that nobody has, 1000 that the kernel gives up"
    (tmp_path / "memory.max").write_text("4000\n")
    assert available_bytes(memory, tmp_path) == 0
