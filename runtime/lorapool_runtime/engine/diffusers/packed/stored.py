"""Bases that come quantized: what their own configuration says, and which of it is loaded."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from lorapool_api.kinds.base_model import Quantization
from lorapool_runtime.engine.diffusers.packed.weights import dtype_of, is_packed
from lorapool_runtime.errors import ModelError

# Others fetch kernels from a repository, or hold weights in other files than safetensors.
_LOADED: Final = ("bitsandbytes", "torchao")


def check_stored(folder: Path, components: Mapping[str, Any], wanted: Quantization | None) -> None:
    """Raises: ModelError for a component that comes quantized in a way that is not loaded, before a weight is read."""
    for name in components:
        stored = _stored(folder / name / "config.json")
        if stored is None:
            continue
        method = str(stored.get("quant_method"))[:40]
        if method not in _LOADED or (method == "bitsandbytes" and not stored.get("load_in_4bit")):
            raise ModelError(
                f"{name} comes quantized by {method!r}, which is not loaded: take a base whose {name} is quantized by "
                "torchao, to 4 bits by bitsandbytes or in a .gguf file, or a whole one with model.quantization"
            )
        if find_spec(method) is None:
            raise ModelError(
                f"{name} comes quantized by {method}, which this image does not have: take one that was built with the "
                "packages of lorapool[quantized]"
            )
        check_skipped(name, wanted)


def check_skipped(component: str, wanted: Quantization | None) -> None:
    """Raises: ModelError for a component that comes quantized and is to be quantized again."""
    if wanted is not None and component not in wanted.skip:
        raise ModelError(f"{component} comes quantized: model.quantization.skip must name it")


def check_dtypes(components: Mapping[str, nn.Module], dtype: torch.dtype) -> None:
    """Raises: ModelError where products with packed weights are of another dtype than all else of the base."""
    for name, component in components.items():
        for module in component.modules():
            weight = module._parameters.get("weight")
            if weight is not None and is_packed(weight) and dtype_of(weight) is not dtype:
                other = str(dtype_of(weight)).removeprefix("torch.")
                raise ModelError(f"{name} was quantized from {other}: model.dtype must be {other}")


def _stored(config: Path) -> dict[str, Any] | None:
    """The component's own words of how it is quantized; None where it is not."""
    try:
        parsed = json.loads(config.read_text())
    except (OSError, ValueError):
        return None  # whoever loads the component says what is wrong with it
    stored = parsed.get("quantization_config") if isinstance(parsed, dict) else None
    return stored if isinstance(stored, dict) else None
