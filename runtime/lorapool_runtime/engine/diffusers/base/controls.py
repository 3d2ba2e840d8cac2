"""Loading what pictures control a base with: ControlNets, safetensors only."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from diffusers import ControlNetModel

from lorapool_api.kinds.base_model import ControlSpec
from lorapool_runtime.engine.diffusers.base.hub_errors import hub_trouble
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits
from lorapool_runtime.errors import ModelError

# What a ControlNet must have as the denoiser has it: it adds to the states of each block.
_ALIKE: Final = ("block_out_channels", "cross_attention_dim", "in_channels", "layers_per_block", "addition_embed_type")


def load_controls(
    specs: Sequence[ControlSpec], pipeline: Any, family: FamilyTraits, dtype: torch.dtype
) -> Mapping[str, Any]:
    """The networks by name, for inference, on the denoiser's device.

    Raises:
        ModelError: one cannot be loaded, or is of another base.
    """
    if specs and not family.controlled:
        raise ModelError(f"model.controls: there are no ControlNets for {family.name} here")
    return {spec.name: _control_net(spec, pipeline, dtype) for spec in specs}


def _control_net(spec: ControlSpec, pipeline: Any, dtype: torch.dtype) -> Any:
    source = spec.source
    revision = {"revision": source.hub.revision, "variant": source.hub.variant} if source.hub else {}
    where = f"the control {spec.name} ({source.label})"
    name = source.hub.repo if source.hub else source.path
    try:
        made = ControlNetModel.from_pretrained(name, dtype=dtype, use_safetensors=True, **revision)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
            raise
        why = (source.hub and hub_trouble(source.hub, error)) or (str(error).strip().splitlines() or ["?"])[0][:500]
        raise ModelError(f"{where} cannot be loaded: {why}") from error
    for field in _ALIKE:
        own, needed = getattr(made.config, field, None), getattr(pipeline.unet.config, field, None)
        if own != needed:
            raise ModelError(f"{where} is for another base: its {field} is {own}, that of the base {needed}")
    made.eval().requires_grad_(False)
    return made.to(pipeline.unet.device)
