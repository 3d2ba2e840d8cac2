"""Loading what pictures control a base with: ControlNets and the like, safetensors only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, assert_never, cast

import diffusers
import torch
from huggingface_hub import hf_hub_download
from torch import nn

from lorapool_api.kinds.models.controls import ControlKind, ControlSpec
from lorapool_runtime.engine.diffusers.base.control_loras import load_control_lora
from lorapool_runtime.engine.diffusers.base.hub import hub_trouble
from lorapool_runtime.engine.diffusers.base.image_prompts import load_image_prompt
from lorapool_runtime.engine.diffusers.families.traits import ControlNets, FamilyTraits
from lorapool_runtime.errors import ModelError


def load_controls(
    specs: Sequence[ControlSpec], pipeline: Any, family: FamilyTraits, dtype: torch.dtype
) -> Mapping[str, nn.Module]:
    """The networks by name, for inference, on the denoiser's device.

    Raises:
        ModelError: one cannot be loaded, or is of another base.
    """
    return {spec.name: _control(spec, pipeline, family, dtype) for spec in specs}


def size_bytes_of(controls: Mapping[str, nn.Module]) -> int:
    """What the weights of these take."""
    return sum(parameter.nbytes for control in controls.values() for parameter in control.parameters())


def _control(spec: ControlSpec, pipeline: Any, family: FamilyTraits, dtype: torch.dtype) -> nn.Module:
    denoiser: Any = getattr(pipeline, "unet", None) or pipeline.transformer
    match spec.kind:
        case ControlKind.CONTROL_NET:
            if family.controlled is None:
                raise ModelError(f"model.controls: there are no ControlNets for {family.name} here")
            with _trouble(spec):
                made = _control_net(spec, family.controlled, denoiser, dtype)
        case ControlKind.IP_ADAPTER:
            if not family.image_prompts:
                raise ModelError(f"model.controls: there are no IP-Adapters for {family.name} here")
            with _trouble(spec):
                made = load_image_prompt(spec, _file(spec), denoiser, dtype)
        case ControlKind.CONTROL_LORA:
            if family.controlled is None or family.controlled.net != "ControlNetModel":
                raise ModelError(f"model.controls: there are no Control-LoRAs for {family.name} here")
            with _trouble(spec):
                made = load_control_lora(spec, _file(spec), denoiser, dtype)
        case ControlKind.T2I_ADAPTER:
            if family.controlled is None or family.controlled.net != "ControlNetModel":
                raise ModelError(f"model.controls: there are no T2I-Adapters for {family.name} here")
            with _trouble(spec):
                made = _t2i_adapter(spec, denoiser, dtype)
        case other:
            assert_never(other)
    made.eval().requires_grad_(False)
    return made.to(denoiser.device)


def _file(spec: ControlSpec) -> Path:
    hub = spec.source.hub
    if hub is not None:
        return Path(hf_hub_download(hub.repo, str(spec.file), revision=hub.revision))
    return Path(str(spec.source.path)) / str(spec.file)


def _control_net(spec: ControlSpec, family: ControlNets, denoiser: Any, dtype: torch.dtype) -> nn.Module:
    made: Any = _pretrained(getattr(diffusers, family.net), spec, dtype)
    if getattr(made, "union", False):
        raise ModelError(
            f"{spec.label} is a union of several controls, of which a request cannot say which: not served"
        )
    for field in family.alike:
        own, needed = getattr(made.config, field, None), getattr(denoiser.config, field, None)
        if own != needed:
            raise ModelError(f"{spec.label} is for another base: its {field} is {own}, that of the base {needed}")
    return cast("nn.Module", made)


def _t2i_adapter(spec: ControlSpec, unet: Any, dtype: torch.dtype) -> nn.Module:
    made: Any = _pretrained(diffusers.T2IAdapter, spec, dtype)
    side = 8 * made.downscale_factor
    with torch.no_grad():
        states = made(torch.zeros(1, made.config.in_channels, side, side, dtype=dtype))
    own, needed = [state.shape[1] for state in states], list(unet.config.block_out_channels)
    if own[: len(needed)] != needed:
        raise ModelError(
            f"{spec.label} is for another base: its blocks have {own} channels, those of the base {needed}"
        )
    return cast("nn.Module", made)


def _pretrained(kind: Any, spec: ControlSpec, dtype: torch.dtype) -> nn.Module:
    """From a folder of diffusers."""
    hub = spec.source.hub
    revision = {"revision": hub.revision, "variant": hub.variant} if hub else {}
    name = hub.repo if hub else spec.source.path
    return cast("nn.Module", kind.from_pretrained(name, dtype=dtype, use_safetensors=True, **revision))


@contextmanager
def _trouble(spec: ControlSpec) -> Iterator[None]:
    """What loading it ends with is one sentence. Raises: ModelError."""
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        hubs = [source.hub for source in spec.sources if source.hub]
        why = next((found for hub in hubs if (found := hub_trouble(hub, error))), None)
        why = why or (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
        raise ModelError(f"{spec.label} cannot be loaded: {why}") from error
