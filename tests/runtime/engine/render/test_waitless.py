"""Samplers on a device whose numbers nobody can read: torch's `meta` device, which raises where the host would wait."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.families.table import TINY
from tests.runtime.ask import recipe
from torch.utils._python_dispatch import TorchDispatchMode

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.contract import no_progress
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
from lorapool_runtime.engine.diffusers.device.accelerator import Cpu
from lorapool_runtime.engine.diffusers.render.prompts import Prompts
from lorapool_runtime.engine.diffusers.render.run import Row, Runner
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.diffusers.render.tasks import Tasks
from lorapool_runtime.engine.diffusers.render.waitless import waitless

pytestmark = pytest.mark.usefixtures("one_thread")


class Unreadable(Cpu):
    """A device whose tensors have no numbers; what it is asked to copy is written down."""

    def __init__(self) -> None:
        self.down: list[torch.Tensor] = []
        self.up: list[torch.Tensor] = []

    def send(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        self.up.append(tensor)
        return torch.empty_like(tensor, device=device)

    def download(self, tensor: torch.Tensor) -> Any:
        self.down.append(tensor)
        return lambda: torch.zeros(tensor.shape, dtype=tensor.dtype)


class Blocking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts copies from the host that the host would wait for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        is_copy = func.name().split("::")[1].split(".")[0] in ("to", "_to_copy", "copy_")
        if is_copy and isinstance(made, torch.Tensor) and made.is_meta:
            self.count += not any(tensor.is_meta for tensor in args if isinstance(tensor, torch.Tensor))
        return made


def waits_of(folder: Path, device: Unreadable, **changes: Any) -> list[int]:
    """How often the host would have waited before the end of the first step, and of each that follows."""
    loaded = load_pipeline(
        BaseModelSpec(source=ModelSource.model_construct(path=str(folder)), dtype=Dtype.FLOAT32),
        Device.CPU,
        no_progress,
    )
    wanted = recipe(width=64, height=64, steps=4, **changes)
    prompts = Prompts(loaded.pipeline).encoded(wanted, ())
    loaded.pipeline.to("meta")
    on_device = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in prompts.items()}
    runner = Runner(Tasks(loaded.pipeline, loaded.family), loaded.pipeline.scheduler, device)
    waits: list[int] = []
    with Blocking() as blocking:
        runner.run(wanted, [Row(on_device, 1)], lambda *_: waits.append(blocking.count))
    return waits


@pytest.mark.parametrize("name", list(SchedulerName))
def test_no_step_of_any_sampler_makes_the_host_wait(model: Path, name: SchedulerName) -> None:
    device = Unreadable()
    waits = waits_of(model, device, scheduler=name)
    assert len(waits) >= 4
    assert waits == [waits[0]] * len(waits)
    # And of the picture its bytes came, in one copy.
    assert [(tensor.dtype, tuple(tensor.shape)) for tensor in device.down] == [(torch.uint8, (1, 3 * 64 * 64 + 1))]


# Pipelines or models of the others read the device between steps by their own code.
@pytest.mark.parametrize("name", ["SD 3.x", "Flux.1", "Flux.1 schnell", "Flux.1 Kontext", "Sana"])
def test_no_step_of_a_transformer_makes_the_host_wait(tmp_path: Path, name: str) -> None:
    waits = waits_of(TINY[name].make(tmp_path / "model"), Unreadable(), scheduler=None)
    assert waits == [waits[0]] * 4


def test_what_a_sampler_makes_on_the_host_is_sent_and_not_waited_for(model: Path) -> None:
    device = Unreadable()
    waits_of(model, device, scheduler=SchedulerName.EULER_A)
    noise = [tensor for tensor in device.up if tensor.dim() == 4]
    assert len(noise) == 4
    assert not any(tensor.is_meta for tensor in noise)


@pytest.mark.parametrize("name", list(SchedulerName))
def test_a_sampler_of_its_kind_takes_the_same_steps(reference: Any, name: SchedulerName) -> None:
    """From any step on, as pipelines begin that change a picture."""
    plain, _ = make_scheduler(reference.scheduler, name)
    mine = waitless(plain)
    assert mine.config == plain.config
    begin = 2 * plain.order
    made = []
    for scheduler in (plain, mine):
        scheduler.set_timesteps(6, device="cpu")
        sample = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
        timesteps = scheduler.timesteps[begin:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        for timestep in timesteps:
            seen = scheduler.scale_model_input(sample, timestep)
            with torch.random.fork_rng():
                torch.manual_seed(2)
                sample = scheduler.step(seen * 0.1, timestep, sample, return_dict=False)[0]
        made.append(sample)
    assert torch.equal(*made)
