"""One row through every module that an adapter changes: the smallest forward in which a deferred cost can be seen.

A forward of the whole UNet takes seconds on a CPU, and varies by more than a switch takes. This one runs the same
modules, in their order, on one position each: what a switch put off (pages not yet read, weights not yet copied,
anything that is made at the first use) has to be paid in it.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Final

import torch

from lorapool_bench.measure.clock import timed

_STEADY: Final = 2


def passing(unet: Any, names: Sequence[str], dtype: torch.dtype, device: str) -> Callable[[], None]:
    """The pass over these modules as they are now: load and unload put other modules in their place."""
    modules = [unet.get_submodule(name) for name in names]
    widths = sorted({module.in_features for module in modules})
    generator = torch.Generator().manual_seed(0)
    rows = {width: torch.randn((1, width), generator=generator).to(device, dtype) for width in widths}

    @torch.inference_mode()
    def once() -> None:
        for module in modules:
            module(rows[module.in_features])

    return once


def extra_s(once: Callable[[], None], device: str) -> tuple[float, float]:
    """(what the first pass takes longer than a steady one, a steady one), right after a switch."""
    first = timed(once, device)
    steady = fmean(timed(once, device) for _ in range(_STEADY))
    return first - steady, steady
