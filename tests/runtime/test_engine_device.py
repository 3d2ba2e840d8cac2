"""Adapters on the device: a bound, what is never evicted, and a device that is full."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from tests.runtime.ask import adapter_file, image
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.files import EVERY

from lorapool_api.conditions import Reason
from lorapool_api.serving import ApplyMode
from lorapool_runtime.engine.diffusers.device import DeviceMemory
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.formats.weights import LoraAdapter

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE_BYTES = 400


def adapter(name: str) -> LoraAdapter:
    return LoraAdapter(name, name, torch.zeros(SIZE_BYTES // 4), ())


def memory(adapters: int) -> DeviceMemory:
    """With room for so many."""
    return DeviceMemory(torch.device("cpu"), adapters * SIZE_BYTES)


def full_at(memory: DeviceMemory, adapters: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A copy to a device that has room for so many, whatever the bound says."""

    def copy(flat: torch.Tensor) -> torch.Tensor:
        if memory.size_bytes >= adapters * SIZE_BYTES:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return flat.clone()

    return copy


def test_the_least_recently_used_one_makes_room() -> None:
    device = memory(2)
    for name in ("a", "b", "a", "c"):
        device.bring(adapter(name))
    assert device.identities() == {"a", "c"}
    assert device.size_bytes == 2 * SIZE_BYTES


def test_what_runs_and_what_is_pinned_is_never_evicted() -> None:
    device = memory(1)
    device.bring(adapter("runs"))
    device.use(["runs"])
    device.pin(["pinned"])
    for name in ("pinned", "b", "c"):
        device.bring(adapter(name))
    assert device.identities() == {"runs", "pinned", "c"}
    device.use([])
    device.pin([])
    device.bring(adapter("d"))
    assert device.identities() == {"d"}


def test_many_who_want_the_same_one_copy_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device, copies = memory(4), []

    def copy(flat: torch.Tensor) -> torch.Tensor:
        copies.append(flat)
        return flat.clone()

    monkeypatch.setattr(device, "_copy", copy)
    with ThreadPoolExecutor(8) as threads:
        brought = set(threads.map(device.bring, [adapter("a")] * 32))
    assert len(brought) == len(copies) == 1


def test_a_device_that_is_full_gives_up_what_nobody_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    device = memory(8)
    monkeypatch.setattr(device, "_copy", full_at(device, 2))
    device.bring(adapter("runs"))
    device.use(["runs"])
    for name in ("b", "c"):
        device.bring(adapter(name))
    assert device.identities() == {"runs", "c"}


def test_a_device_that_is_full_of_what_runs_says_so_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device = memory(8)
    monkeypatch.setattr(device, "_copy", full_at(device, 1))
    device.bring(adapter("runs"))
    device.use(["runs"])
    with pytest.raises(AdapterError, match="no room for the adapter's 400 bytes") as error:
        device.bring(adapter("b"))
    assert (error.value.reason, error.value.transient) == (Reason.POD_FAILED, True)
    assert device.identities() == {"runs"}


@pytest.mark.parametrize("mode", [ApplyMode.UNMERGED, ApplyMode.MERGED])
def test_an_adapter_that_finds_no_room_fails_alone(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: ApplyMode
) -> None:
    engine = make_engine(model, mode)
    engine.load()
    kinds = ("lora peft, all modules", "loha kohya")
    good, unlucky = (
        engine.read(adapter_file(EVERY[kind](load_reference(model), tmp_path / str(i)))) for i, kind in enumerate(kinds)
    )
    base, made = image(engine), image(engine, (good, 1.0))
    copy: Callable[[torch.Tensor], torch.Tensor] = engine._memory._copy
    size = unlucky.size_bytes

    def no_room(flat: torch.Tensor) -> torch.Tensor:
        if flat.numel() * flat.element_size() == size:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return copy(flat)

    with monkeypatch.context() as patch:
        patch.setattr(engine._memory, "_copy", no_room)
        with pytest.raises(AdapterError, match="no room"):
            image(engine, (good, 0.5), (unlucky, 0.5))
        assert (image(engine, (good, 1.0)) == made).all()
        assert (image(engine) == base).all()
    assert (image(engine, (unlucky, 1.0)) != base).any()
