"""Pictures of diffusers' own pipeline whose weights are computed in float64 before each step."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from tests import tiny
from tests.runtime.ask import Pixels, recipe
from tests.tiny import Change

from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler

# What a change counts at a step.
Strength = Callable[[Change, int], float]
_NUMBERED = re.compile(r"lora_unet_(input|output)_blocks_(\d+)_")


def block_of(change: Change) -> str:
    """By the original names of modules, as kohya writes them."""
    name = tiny.kohya_name(change.component, change.module)
    if change.component != "unet":
        return "BASE"
    if name.startswith("lora_unet_middle_block_"):
        return "MID"
    found = _NUMBERED.match(name)
    assert found is not None
    return f"{'IN' if found[1] == 'input' else 'OUT'}{int(found[2]):02}"


def drawn(pipeline: Any, stack: Sequence[tuple[Sequence[Change], Strength]], **changes: Any) -> Pixels:
    """The picture; the text encoders have what counts at the first step."""
    wanted = recipe(**changes)
    modules = {
        (c.component, c.module): getattr(pipeline, c.component).get_submodule(c.module) for s, _ in stack for c in s
    }
    own = {key: module.weight.data.double().clone() for key, module in modules.items()}

    def write(step: int) -> None:
        for key, module in modules.items():
            if step and key[0] != "unet":
                continue
            total = own[key].clone()
            for changed, strength in stack:
                for c in changed:
                    if (c.component, c.module) == key:
                        total += strength(c, step) * c.delta.reshape(total.shape)
            module.weight.data = total.to(module.weight.dtype)

    def after(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        write(step + 1)
        return {}

    write(0)
    pipeline.scheduler, _ = make_scheduler(pipeline.scheduler, wanted.scheduler)
    try:
        with torch.inference_mode():
            made = pipeline(
                prompt=wanted.prompt,
                width=wanted.width,
                height=wanted.height,
                num_inference_steps=wanted.steps,
                guidance_scale=wanted.guidance_scale,
                generator=torch.Generator("cpu").manual_seed(wanted.seed),
                callback_on_step_end=after,
            )
    finally:
        for key, module in modules.items():
            module.weight.data = own[key].to(module.weight.dtype)
    return np.asarray(made.images[0])
