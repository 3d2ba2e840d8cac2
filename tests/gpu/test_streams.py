"""Copies to the device beside the kernels that run there: nobody ever sees half of one, or another's."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lorapool_api.kinds.runtime import Device
from lorapool_runtime.engine.diffusers.device.accelerator import accelerator_of
from lorapool_runtime.engine.diffusers.device.residents import DeviceMemory
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter

# Some staging buffers' worth each, and one that is none.
ELEMENTS = [1_000_003, 9_000_000, 17_000_000, 40_000_000, 5]
ROUNDS = 60


def adapter(number: int) -> LoraAdapter:
    flat = torch.full((ELEMENTS[number],), float(number + 1), dtype=torch.float16)
    return LoraAdapter(f"{number}", f"{number}", flat, (), {"all": (0, (ELEMENTS[number],))})


@contextmanager
def looking_ahead(memory: DeviceMemory, adapters: list[LoraAdapter]) -> Iterator[None]:
    """Another thread brings others all the while, which evicts what does not run."""
    stopped, dice = threading.Event(), random.Random(1)  # noqa: S311 -- a test wants the same numbers each time

    def run() -> None:
        while not stopped.is_set():
            memory.load(dice.choice(adapters))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_what_is_brought_under_load_is_whole_and_stays_what_it_is(device: Device) -> None:
    target = torch.device(device.value)
    adapters = [adapter(i) for i in range(len(ELEMENTS))]
    memory = DeviceMemory(accelerator_of(device), 2 * max(a.size_bytes for a in adapters))
    load = torch.randn(1024, 1024, device=target)
    dice = random.Random(2)  # noqa: S311
    sums: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    with looking_ahead(memory, adapters):
        for _ in range(ROUNDS if device is Device.CUDA else 5):
            number = dice.randrange(len(adapters))
            memory.use([adapters[number].identity])
            found = memory.load(adapters[number]).embeddings["all"]
            # The kernels that read it run long after the host has gone on, and let go of it.
            for _ in range(20 if device is Device.CUDA else 1):
                load = torch.tanh(load @ load)
            sums.append((number, found.min(), found.max()))
    for number, least, most in sums:
        assert float(least) == float(most) == number + 1
