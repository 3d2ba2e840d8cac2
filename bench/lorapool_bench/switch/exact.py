"""How exact a way is: the base's weights before and after, and what modules compute beside float64."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lorapool_bench.subjects.adapters import read_pair
from lorapool_bench.switch.result import Exactness
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.engine.diffusers.layers.active import Merged
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted

_ROWS = 4


def fingerprint(unet: Any) -> str:
    """sha256 of all weights."""
    digest = hashlib.sha256()
    for parameter in unet.parameters():
        digest.update(memoryview(parameter.detach().cpu().contiguous().view(torch.uint8).flatten().numpy()))
    return digest.hexdigest()


def sampled(names: Sequence[str], count: int = 12) -> list[str]:
    """Some of the modules, from the first to the last."""
    return [names[i * (len(names) - 1) // max(count - 1, 1)] for i in range(min(count, len(names)))]


class Pristine:
    """The weights of some modules as they were before anybody switched."""

    def __init__(self, unet: Any, names: Sequence[str]) -> None:
        self._weights = {name: unet.get_submodule(name).weight.detach().clone() for name in names}

    def changed(self, unet: Any) -> float:
        """Share of these weights that are not what they were. The UNet's own modules must be in place."""
        differ = sum(int((unet.get_submodule(n).weight != w).sum()) for n, w in self._weights.items())
        count: int = sum(w.numel() for w in self._weights.values())
        return differ / count


def references(unet: Any, names: Sequence[str], file: AdapterFile) -> dict[str, torch.Tensor]:
    """W + BA in float64, from the base's weights as they are now."""
    weights = {name: unet.get_submodule(name).weight for name in names}
    return {name: w.double().cpu() + read_pair(file, name).delta for name, w in weights.items()}


@torch.inference_mode()
def exactness(unet: Any, wanted: Mapping[str, torch.Tensor]) -> Exactness:
    """Of the modules as they are now, with the active adapter."""
    errors, equal, count = [], 0, 0
    for name, weight in wanted.items():
        module = unet.get_submodule(name)
        errors.append(_output_error(module, weight))
        merged = _merged(module)
        if merged is not None:
            equal += int((merged.cpu() == weight.to(merged.dtype)).sum())
            count += weight.numel()
    return Exactness(output_error=max(errors), weights_equal=equal / count if count else None)


def _output_error(module: Any, weight: torch.Tensor) -> float:
    base = getattr(module, "base_layer", module)
    rows = torch.randn((_ROWS, weight.shape[1]), generator=torch.Generator().manual_seed(1)).to(base.weight.dtype)
    bias = base.bias.double().cpu() if base.bias is not None else None
    exact = nn.functional.linear(rows.double(), weight, bias)
    got = module(rows.to(base.weight.device)).double().cpu()
    return float((got - exact).abs().max() / exact.abs().max())


def _merged(module: Any) -> torch.Tensor | None:
    """The weight that stands for W + BA: lorapool's, or PEFT's, which is the base's own."""
    if getattr(module, "merged", False):
        weight: torch.Tensor = module.base_layer.weight
        return weight
    if isinstance(module, Adapted) and isinstance(module.active, Merged):
        return module.active.weight
    return None
