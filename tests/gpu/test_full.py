"""A device whose memory another process takes: requests are made with what is left, or refused, and made later."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tests.gpu.conftest import load_reference, make_engine
from tests.runtime.ask import adapter_file, finished, image, request
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter
from lorapool_runtime.engine.result import Rendering
from lorapool_runtime.errors import OutOfDeviceMemory

# Takes all but so many bytes, says so, and gives them back when its input ends.
GREEDY = """
import sys, torch
leave, taken = int(sys.argv[1]), []
size = 256 * 1024**2
while size >= 1024**2:
    free, _ = torch.cuda.mem_get_info()
    try:
        if free - size < leave:
            raise torch.OutOfMemoryError
        taken.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        size //= 2
print("full", flush=True)
sys.stdin.read()
"""


@contextmanager
def neighbour(leave_bytes: int) -> Iterator[None]:
    """Another process that holds the rest of the device."""
    process = subprocess.Popen(
        [sys.executable, "-c", GREEDY, str(leave_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        yield
    finally:
        process.communicate(timeout=60)


@pytest.mark.timeout(600)
def test_a_request_that_a_neighbour_leaves_no_room_for_is_refused_and_later_made(
    cuda: torch.device, model: Path, tmp_path: Path
) -> None:
    engine = make_engine(model, Device.CUDA, Dtype.FLOAT32)
    adapter = engine.read(adapter_file(EVERY["lora peft, all modules"](load_reference(model), tmp_path)))
    large = {"width": 512, "height": 512, "steps": 1}
    small, wanted = image(engine, (adapter, 1.0)), image(engine, **large)
    engine.activator.free()
    with neighbour(leave_bytes=0):
        (result,) = finished(engine.render([request(**large)]))
        assert isinstance(result, OutOfDeviceMemory | Rendering)
        refused = isinstance(result, OutOfDeviceMemory)
    assert refused, "the neighbour did not take enough: nothing was tried"
    assert (image(engine, **large) == wanted).all()
    assert (image(engine, (adapter, 1.0)) == small).all()


@pytest.mark.timeout(600)
def test_what_can_be_had_again_makes_room(cuda: torch.device, model: Path) -> None:
    engine = make_engine(model, Device.CUDA, Dtype.FLOAT32)
    large = {"width": 512, "height": 512, "steps": 1}
    wanted = image(engine, **large)
    engine.activator.free()
    held = torch.zeros(64 * 1024**2 // 4)
    engine.memory.bound_bytes = 2**62
    with neighbour(leave_bytes=4 * 1024**3):
        number = 0
        while torch.cuda.mem_get_info(cuda)[0] > 2 * held.nbytes:
            engine.prefetch([LoraAdapter(f"{number}", f"{number}", held, ())])
            number += 1
        assert (image(engine, **large) == wanted).all()
        assert len(engine.on_device()) < number


def test_the_budget_is_what_the_card_has_left(cuda: torch.device, model: Path) -> None:
    engine = make_engine(model, Device.CUDA)
    free, total = torch.cuda.mem_get_info(cuda)
    assert 0 < engine.memory.bound_bytes < total
    assert engine.memory.bound_bytes <= free + torch.cuda.memory_reserved(cuda)
