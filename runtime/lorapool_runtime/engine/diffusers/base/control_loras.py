"""Control-LoRAs: ControlNets whose weights are the base's own and low-rank changes of them.

The files are Stability AI's for SDXL and their like for SD 1.5: keys of the original UNet, `W' = W + up down` where the
base has W (no alpha), and whole tensors for all else. What comes of one is a ControlNet as any other.
"""

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import ControlNetModel
from diffusers.utils.state_dict_utils import convert_sai_sd_control_lora_state_dict_to_peft
from safetensors.torch import load_file
from torch import nn

from lorapool_api.kinds.models.controls import ControlSpec
from lorapool_runtime.engine.diffusers.packed.weights import is_packed
from lorapool_runtime.errors import ModelError

# A tensor that says nothing but what the file is.
_MARK: Final = "lora_controlnet"
_DOWN, _UP, _WEIGHT = ".lora_A.weight", ".lora_B.weight", ".weight"


@torch.no_grad()
def load_control_lora(spec: ControlSpec, file: Path, unet: Any, dtype: torch.dtype) -> nn.Module:
    """The ControlNet, its weights computed in float32 and rounded once.

    Raises:
        ModelError: it is none, or is for another base, or the base's weights are packed.
        Whatever safetensors says of a file that cannot be read.
    """
    if any(is_packed(parameter) for parameter in unet.parameters()):
        raise ModelError(f"{spec.label} is made of the base's weights, which are quantized here: take a ControlNet")
    tensors = load_file(file)
    if _MARK not in tensors:
        raise ModelError(f"{spec.label} is no Control-LoRA: {spec.file} has no tensor {_MARK}")
    found: dict[str, torch.Tensor] = convert_sai_sd_control_lora_state_dict_to_peft(tensors)
    net: Any = ControlNetModel.from_unet(unet)
    own = dict(net.named_parameters())
    given: set[str] = set()
    for name, tensor in found.items():
        if name.endswith(_DOWN):
            continue
        target = name.replace(_UP, _WEIGHT)
        parameter = own.get(target)
        if tensor is None or parameter is None:
            raise ModelError(f"{spec.label} is for another base: this one has no {target}, or the file has none")
        down = found[name.replace(_UP, _DOWN)] if name.endswith(_UP) else None
        whole = (parameter.shape[0], parameter[0].numel()) if down is not None else parameter.shape
        shape = (len(tensor), down.flatten(1).shape[1]) if down is not None else tensor.shape
        if tuple(shape) != tuple(whole):
            raise ModelError(f"{spec.label} is for another base: its {target} is {tuple(shape)}, not {tuple(whole)}")
        new = tensor.float()
        if down is not None:
            new = parameter.float() + (new.flatten(1) @ down.float().flatten(1)).view(parameter.shape)
        parameter.data = new.to(dtype)
        given.add(target)
    missing = [n for n in own if n.startswith("controlnet_") and n not in given]
    if missing:
        raise ModelError(f"{spec.label} cannot be loaded: it lacks {missing[0]}")
    return net.to(dtype)  # type: ignore[no-any-return]
