"""Adapters on the device: a bound, what is never evicted, and a device that is full."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from tests.runtime.ask import adapter_file, image
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.fake_cuda import FakeCuda
from tests.runtime.files import EVERY

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.engine.diffusers.device.accelerator import STAGING_BYTES, Cpu, Cuda
from lorapool_runtime.engine.diffusers.device.residents import DeviceMemory
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter
from lorapool_runtime.errors import AdapterError

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE_BYTES = 400


def adapter(name: str) -> LoraAdapter:
    return LoraAdapter(name, name, torch.zeros(SIZE_BYTES // 4), ())


class Scripted(Cpu):
    """A device whose copies a test decides about."""

    def __init__(self, upload: Callable[[torch.Tensor], torch.Tensor] = torch.clone) -> None:
        self.up = upload
        self.emptied = 0

    def upload(self, flat: torch.Tensor) -> torch.Tensor:
        return self.up(flat)

    def empty_cache(self) -> None:
        self.emptied += 1


def memory(adapters: int, device: Cpu | None = None, beside: Callable[[], int] = lambda: 0) -> DeviceMemory:
    """With room for so many."""
    return DeviceMemory(device or Cpu(), adapters * SIZE_BYTES, beside)


def full_at(adapters: int) -> DeviceMemory:
    """On a device that has room for so many, whatever the bound says."""

    def copy(flat: torch.Tensor) -> torch.Tensor:
        if held.size_bytes >= adapters * SIZE_BYTES:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return flat.clone()

    held = memory(8, Scripted(copy))
    return held


def test_the_least_recently_used_one_makes_room() -> None:
    device = memory(2)
    for name in ("a", "b", "a", "c"):
        device.load(adapter(name))
    assert device.identities() == {"a", "c"}
    assert device.size_bytes == 2 * SIZE_BYTES


def test_what_runs_and_what_is_pinned_is_never_evicted() -> None:
    device = memory(1)
    device.load(adapter("runs"))
    device.use(["runs"])
    device.pin(["pinned"])
    for name in ("pinned", "b", "c"):
        device.load(adapter(name))
    assert device.identities() == {"runs", "pinned", "c"}
    device.use([])
    device.pin([])
    device.load(adapter("d"))
    assert device.identities() == {"d"}


def test_weights_that_were_merged_take_of_the_same_bound() -> None:
    merged = 0
    device = memory(3, beside=lambda: merged)
    for name in ("a", "b", "c"):
        device.load(adapter(name))
    merged = SIZE_BYTES
    device.load(adapter("d"))
    assert device.identities() == {"c", "d"}
    device.use(["d"])
    device.make_room(SIZE_BYTES)
    assert device.identities() == {"d"}
    assert device.kept_bytes == SIZE_BYTES


def test_many_who_want_the_same_one_copy_it_once() -> None:
    copies = []

    def copy(flat: torch.Tensor) -> torch.Tensor:
        copies.append(flat)
        return flat.clone()

    device = memory(4, Scripted(copy))
    with ThreadPoolExecutor(8) as threads:
        brought = set(threads.map(device.load, [adapter("a")] * 32))
    assert len(brought) == len(copies) == 1


def test_a_device_that_is_full_gives_up_what_nobody_uses() -> None:
    device = full_at(2)
    device.load(adapter("runs"))
    device.use(["runs"])
    for name in ("b", "c"):
        device.load(adapter(name))
    assert device.identities() == {"runs", "c"}


def test_a_device_that_is_full_gives_up_what_else_can_be_had_again_before_it_says_no() -> None:
    room = [False]

    def copy(flat: torch.Tensor) -> torch.Tensor:
        if not room[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return flat.clone()

    accelerator = Scripted(copy)
    device = memory(8, accelerator)
    device.load(adapter("a"), free=lambda: room.__setitem__(0, True))
    assert device.identities() == {"a"}
    assert accelerator.emptied == 1


def test_a_device_that_is_full_of_what_runs_says_so_and_keeps_it() -> None:
    device = full_at(1)
    device.load(adapter("runs"))
    device.use(["runs"])
    with pytest.raises(AdapterError, match="no room for the adapter's 400 bytes") as error:
        device.load(adapter("b"))
    assert (error.value.reason, error.value.transient) == (Reason.POD_FAILED, True)
    assert device.identities() == {"runs"}


@pytest.mark.parametrize("mode", [ApplyMode.UNMERGED, ApplyMode.MERGED])
def test_an_adapter_that_finds_no_room_fails_alone(model: Path, tmp_path: Path, mode: ApplyMode) -> None:
    too_large: set[int] = set()

    def copy(flat: torch.Tensor) -> torch.Tensor:
        if flat.nbytes in too_large:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return flat

    engine = make_engine(model, mode, accelerator=Scripted(copy))
    kinds = ("lora peft, all modules", "loha kohya")
    good, unlucky = (
        engine.read(adapter_file(EVERY[kind](load_reference(model), tmp_path / str(i)))) for i, kind in enumerate(kinds)
    )
    base, made = image(engine), image(engine, (good, 1.0))
    too_large.add(unlucky.size_bytes)
    with pytest.raises(AdapterError, match="no room"):
        image(engine, (good, 0.5), (unlucky, 0.5))
    assert (image(engine, (good, 1.0)) == made).all()
    assert (image(engine) == base).all()
    too_large.clear()
    assert (image(engine, (unlucky, 1.0)) != base).any()


# ---- copies to a device with memory of its own ------------------------------------------------------------------


@pytest.mark.parametrize("elements", [0, 1, 16, 17, 64, 1000])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_copy_is_whole_when_it_is_handed_out(elements: int, dtype: torch.dtype) -> None:
    """Copies are late in the fake, as on a device: only what is waited for has happened."""
    cuda = FakeCuda()
    device = Cuda(torch.device("cpu"), cuda, staging_bytes=64)
    for seed in range(3):
        flat = torch.randn(elements, generator=torch.Generator().manual_seed(seed)).to(dtype)
        copied = device.upload(flat)
        assert torch.equal(copied, flat)
        assert copied.dtype is dtype
        # What runs on the main stream may read it still when the next copy is made.
        assert cuda.recorded[-1][0].untyped_storage().data_ptr() == copied.untyped_storage().data_ptr()
        assert cuda.recorded[-1][1] is cuda.main
    assert len(cuda.streams) == 1


def test_pinned_memory_is_two_buffers_however_many_adapters_there_are() -> None:
    cuda = FakeCuda()
    held = DeviceMemory(Cuda(torch.device("cpu"), cuda), 10**9)
    for i in range(50):
        held.load(LoraAdapter(f"{i}", f"{i}", torch.zeros(300_000), ()))
    assert held.size_bytes == 50 * 1_200_000
    assert cuda.pinned_bytes == 2 * STAGING_BYTES
