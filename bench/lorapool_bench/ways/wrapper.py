"""What a wrapper costs where no adapter is active: too little to be seen in a step, so it is measured by itself."""

import copy
from typing import Any

import torch
from torch import nn

from lorapool_bench.measure.clock import timed
from lorapool_bench.measure.spread import Spread, spread
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, adapt

_SIZE = 8
_CALLS = 50


def wrapped_modules(unet: Any) -> int:
    """How many modules adapters can change; a forward calls each of them once."""
    return sum(isinstance(module, Adapted) for module in unet.modules())


def call_cost(rounds: int) -> Spread:
    """Seconds that one call of a wrapped Linear takes longer than of a plain one, both with next to nothing to do.

    Raises: TypeError where a Linear is none that an adapter can change.
    """
    plain = nn.Linear(_SIZE, _SIZE)
    wrapped = adapt(copy.deepcopy(plain))
    if wrapped is None:
        raise TypeError("a Linear is a module that an adapter can change")
    row = torch.zeros(1, _SIZE)

    def calls(module: nn.Module) -> None:
        for _ in range(_CALLS):
            module(row)

    with torch.inference_mode():
        for module in (plain, wrapped):
            calls(module)
        return spread(
            [(timed(lambda: calls(wrapped)) - timed(lambda: calls(plain))) / _CALLS for _ in range(rounds)],
        )
