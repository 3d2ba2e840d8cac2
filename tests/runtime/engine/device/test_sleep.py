"""A base that leaves the device while nobody asks, and comes back bit by bit what it was."""

import gc
import hashlib
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.runtime.ask import image
from tests.runtime.engine.device.card import Card, adapter, make
from tests.runtime.fake_cuda import FakeCuda
from torch import nn

from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.engine.diffusers.device.accelerator import Cpu, Cuda
from lorapool_runtime.engine.diffusers.device.host_weights import HostWeights
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.stub import load_stub
from lorapool_runtime.errors import CannotSleep, CannotWake, DeviceLost, Stopped

pytestmark = pytest.mark.usefixtures("one_thread")


def never() -> bool:
    return False


def tensors(engine: DiffusersEngine) -> Iterator[torch.Tensor]:
    for module in engine.parts.modules:
        yield from module.parameters()
        yield from module.buffers()


def base_hash(engine: DiffusersEngine) -> str:
    found = hashlib.sha256()
    for module in engine.parts.modules:
        for name, tensor in module.state_dict().items():
            found.update(f"{name} {tensor.shape} {tensor.dtype} {tensor.stride()}".encode())
            found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("mode", [ApplyMode.UNMERGED, ApplyMode.MERGED])
def test_what_it_had_on_the_device_is_given_back_and_pictures_are_the_same_afterwards(
    model: Path, card: Card, tmp_path: Path, mode: ApplyMode
) -> None:
    engine = make(model, card, mode)
    # The fake card's base lies in its file, at any multiple of four bytes, where a CPU adds in another order.
    engine.sleep(never)
    engine.wake()
    pixel = adapter(engine, model, tmp_path, "lora diffusers, text too")
    base, adapted, before = image(engine), image(engine, (pixel, 0.8)), base_hash(engine)
    on_device = [weakref.ref(tensor) for tensor in tensors(engine)]
    assert engine.device_bytes > 0

    engine.sleep(never)
    gc.collect()
    assert not any(ref() is not None for ref in on_device), "nobody keeps a tensor of the device"
    assert (engine.device_bytes, engine.on_device()) == (0, frozenset())
    assert card.cuda.emptied > 0

    engine.wake()
    assert base_hash(engine) == before
    assert np.array_equal(image(engine), base)
    assert np.array_equal(image(engine, (pixel, 0.8)), adapted)


def test_while_it_sleeps_no_adapter_is_brought_to_the_device(model: Path, card: Card, tmp_path: Path) -> None:
    engine = make(model, card)
    pixel = adapter(engine, model, tmp_path, "lora diffusers, text too")
    engine.pin({pixel.identity})
    engine.sleep(never)
    engine.prefetch([pixel])
    assert engine.on_device() == frozenset()
    engine.wake()
    engine.prefetch([pixel])
    assert engine.on_device() == {pixel.identity}


def test_who_comes_while_it_falls_asleep_finds_it_as_it_was(model: Path, card: Card, tmp_path: Path) -> None:
    engine = make(model, card)
    pixel = adapter(engine, model, tmp_path, "lora diffusers, text too")
    adapted = image(engine, (pixel, 1.0))
    kept = [id(tensor) for tensor in tensors(engine)]
    asked: list[bool] = []

    def somebody_comes() -> bool:
        asked.append(len(asked) == len(kept) // 2)
        return asked[-1]

    with pytest.raises(Stopped):
        engine.sleep(somebody_comes)
    assert [id(tensor) for tensor in tensors(engine)] == kept
    assert engine.on_device() == {pixel.identity}
    assert np.array_equal(image(engine, (pixel, 1.0)), adapted)


def test_where_somebody_took_the_cards_memory_it_sleeps_on_until_there_is_room(model: Path, card: Card) -> None:
    engine = make(model, card)
    base, before = image(engine), base_hash(engine)
    engine.sleep(never)
    for _ in range(2):
        card.cuda.uploads_left = 20
        with pytest.raises(CannotWake, match="no room"):
            engine.wake()
    card.cuda.uploads_left = None
    engine.wake()
    assert base_hash(engine) == before
    assert np.array_equal(image(engine), base)


def test_a_device_that_does_not_work_any_more_is_lost_also_for_one_that_sleeps(model: Path, card: Card) -> None:
    engine = make(model, card)
    card.cuda.lost = True
    with pytest.raises(DeviceLost):
        engine.sleep(never)


def test_tensors_that_are_tied_stay_so_and_layouts_stay_what_they_are() -> None:
    first, second = nn.Linear(3, 4), nn.Linear(3, 4, bias=False)
    second.weight = first.weight
    conv = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    conv.register_buffer("scale", torch.tensor(2.0, dtype=torch.bfloat16))
    conv.register_buffer("none", torch.empty(0, 4))
    module = nn.ModuleList([first, second, conv])
    before = {name: (tensor.clone(), tensor.stride()) for name, tensor in module.state_dict().items()}
    weights = HostWeights([module, first], Cuda(torch.device("cpu"), FakeCuda()))
    weights.leave(never)
    assert weights.are_in_host_memory
    weights.leave(never)
    weights.come_back()
    weights.come_back()
    assert not weights.are_in_host_memory
    assert second.weight is first.weight
    assert isinstance(conv.weight, nn.Parameter)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name][0]), name
        assert tensor.stride() == before[name][1], name


def test_a_process_that_would_be_killed_for_it_does_not_sleep() -> None:
    module = nn.Linear(1000, 1000)
    weights = HostWeights([module], Cuda(torch.device("cpu"), FakeCuda()), room_bytes=lambda: 4_100_000)
    weight = module.weight
    with pytest.raises(CannotSleep, match="4004000 bytes, and host memory has room for 4100000"):
        weights.leave(never)
    assert module.weight is weight


def test_where_the_device_is_the_host_nothing_moves() -> None:
    module = nn.Linear(3, 3)
    weight = module.weight
    weights = HostWeights([module], Cpu())
    weights.leave(never)
    assert not weights.are_in_host_memory
    assert module.weight is weight


def test_the_stub_sleeps_as_long_as_it_is_told_to_wake() -> None:
    slept: list[float] = []
    engine = load_stub("base", StubTimings(wake_milliseconds=1500), sleep=slept.append)
    engine.sleep(never)
    engine.wake()
    assert slept == [0, 1.5]
    with pytest.raises(Stopped):
        engine.sleep(lambda: True)
