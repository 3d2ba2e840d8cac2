"""A base that lies in host memory: groups of its modules visit the device while they work."""

from collections.abc import Iterable
from typing import Any, Final

import torch
from diffusers.hooks import apply_group_offloading
from torch import nn

from lorapool_api.kinds.base_model import BaseModelSpec, Offload
from lorapool_api.kinds.serving import ApplyMode, CompileMode, Serving
from lorapool_runtime.engine.diffusers.packed.weights import has_state
from lorapool_runtime.errors import ModelError

_HOST: Final = torch.device("cpu")


def is_offloaded(component: str) -> bool:
    """Whether it lies in host memory: the denoiser and text encoders. A VAE is small."""
    return component in ("unet", "transformer") or component.startswith("text_encoder")


def serving_of(model: BaseModelSpec, serving: Serving) -> Serving:
    """Adapters are added to a base that is offloaded: merged weights would be what the device has no room for.

    Raises: ModelError where the pool wants them merged, or the denoiser compiled, with weights of its own, or its
        blocks skipped.
    """
    if model.offload is Offload.NONE:
        return serving
    if serving.mode is ApplyMode.MERGED:
        raise ModelError("model.offload Group leaves no room for merged weights: serving.mode is Auto or Unmerged")
    if serving.compile is not CompileMode.OFF:
        raise ModelError("model.offload Group leaves no room for a compiled denoiser: serving.compile is Off")
    if serving.step_cache is not None:
        # A group comes when the one before it works: those after skipped blocks would not.
        raise ModelError("model.offload Group brings each block after the one before it: serving.stepCache skips some")
    return serving.model_copy(update={"mode": ApplyMode.UNMERGED})


def offload(pipeline: Any, controls: Iterable[nn.Module], device: torch.device) -> None:
    """Leave the components in host memory, and bring their groups to the device for each forward.

    A group of the denoiser is one of its blocks, one of a text encoder is one module. On CUDA the next group comes
    while one works, from pinned memory: that is then the only copy of the weights there.

    `controls` stay on the device, beside the VAE. Call it when the modules are what they will be: what a module
    computes is fixed here.

    Raises: ModelError for weights of bitsandbytes, whose scales would stay behind, and for those of a GGUF file.
    """
    for control in controls:
        control.to(device)
    for name, module in pipeline.components.items():
        if not isinstance(module, nn.Module):
            continue
        if not is_offloaded(name):
            module.to(device)
            continue
        if any(has_state(part) for part in module.modules()):
            raise ModelError(
                f"{name} is quantized by bitsandbytes or in a GGUF file, which cannot be offloaded: take int8 or fp8"
            )
        is_text = name.startswith("text_encoder")
        streams = device.type == "cuda"
        apply_group_offloading(
            module,
            onload_device=device,
            offload_device=_HOST,
            offload_type="leaf_level" if is_text else "block_level",
            num_blocks_per_group=None if is_text else 1,
            use_stream=streams,
            record_stream=streams,
        )
