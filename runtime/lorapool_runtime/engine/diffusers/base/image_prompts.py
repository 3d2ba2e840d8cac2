"""IP-Adapters (arXiv:2308.06721): attention to a picture beside the attention to the prompt.

What is read and how: diffusers' own converters and attention processors. Nothing of it becomes part of the base while
it is loaded; `render.passes.image_prompts` puts it there for one request.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import torch
from diffusers.models.embeddings import ImageProjection
from PIL.Image import Image
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from lorapool_api.kinds.models.controls import ControlSpec
from lorapool_runtime.errors import ModelError

_ENCODER: Final = "image_encoder"
State = dict[str, dict[str, torch.Tensor]]


class ImagePrompt(nn.Module):
    """One IP-Adapter, with the encoder of its pictures.

    Attributes:
        projection: from what the encoder says to rows beside those of the prompt.
    """

    def __init__(self, processors: Mapping[str, nn.Module], projection: nn.Module, encoder: nn.Module) -> None:
        """`processors`: by the denoiser's names of the attentions that they stand in for."""
        super().__init__()
        self.projection = projection
        self._names = tuple(processors)
        self._processors = nn.ModuleList(processors.values())
        self._encoder = encoder
        config: Any = encoder.config
        self._read = CLIPImageProcessor(size=config.image_size, crop_size=config.image_size)

    @property
    def processors(self) -> dict[str, nn.Module]:
        return dict(zip(self._names, self._processors, strict=True))

    @torch.inference_mode()
    def embeds(self, picture: Image) -> tuple[torch.Tensor, torch.Tensor]:
        """What the pipelines call `ip_adapter_image_embeds`, of no picture and of this one.

        Each (1, 1, width) for a plain IP-Adapter, which gets the encoder's last word; (1, 1, tokens, width) for the
        others, which get its last hidden states but one. No picture is zeros to a plain one, black to the others.
        """
        first = next(self._encoder.parameters())
        pixels = self._read(picture, return_tensors="pt").pixel_values.to(first.device, first.dtype)
        if isinstance(self.projection, ImageProjection):
            said = self._encoder(pixels).image_embeds[None]
            return torch.zeros_like(said), said
        none, said = (
            self._encoder(each, output_hidden_states=True).hidden_states[-2][None]
            for each in (torch.zeros_like(pixels), pixels)
        )
        return none, said


def load_image_prompt(spec: ControlSpec, file: Path, denoiser: Any, dtype: torch.dtype) -> ImagePrompt:
    """The IP-Adapter, on the host.

    Raises:
        ModelError: it is none that is served, or is for another base.
        Whatever safetensors, transformers and the Hub say of files that cannot be read.
    """
    state = _state(file)
    if not all(state.values()):
        raise ModelError(f"{spec.label} is no IP-Adapter: {spec.file} lacks image_proj or ip_adapter")
    if _is_of_faces(state):
        raise ModelError(f"{spec.label} reads what a network for faces says (FaceID): it is not served")
    _check_width(spec, state, denoiser)
    processors = {
        name: processor
        for name, processor in denoiser._convert_ip_adapter_attn_to_diffusers([state], low_cpu_mem_usage=False).items()
        if isinstance(processor, nn.Module)
    }
    projection = denoiser._convert_ip_adapter_image_proj_to_diffusers(state["image_proj"], low_cpu_mem_usage=False)
    return ImagePrompt(processors, projection.to(dtype), _encoder(spec, dtype)).to(dtype)


def _state(file: Path) -> State:
    """The two parts of the file by the names of the first ones, which XLabs' for Flux calls otherwise."""
    state: State = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in load_file(file).items():
        first, _, rest = key.partition(".")
        match first:
            case "image_proj" | "ip_adapter_proj_model":
                state["image_proj"][rest] = tensor
            case "ip_adapter":
                state["ip_adapter"][rest] = tensor
            case "double_blocks":
                name = rest.replace("processor.ip_adapter_double_stream_", "")
                state["ip_adapter"][name.replace("k_proj", "to_k_ip").replace("v_proj", "to_v_ip")] = tensor
    return state


def _is_of_faces(state: State) -> bool:
    """Whether what it reads is no picture, but what another network says of a face."""
    names = state["image_proj"].keys()
    return {"proj.0.weight", "norm.weight"} <= names or "perceiver_resampler.proj_in.weight" in names


def _check_width(spec: ControlSpec, state: State, denoiser: Any) -> None:
    """Raises: ModelError where its attentions are not so many, or not so wide, as those of the base."""
    config = denoiser.config
    needed = getattr(config, "cross_attention_dim", None) or config.joint_attention_dim
    own = {tensor.shape[1] for name, tensor in state["ip_adapter"].items() if name.endswith("to_k_ip.weight")}
    if own != {needed}:
        widths = ", ".join(map(str, sorted(own))) or "missing"
        raise ModelError(f"{spec.label} is for another base: its keys are {widths} wide, those of the base {needed}")


def _encoder(spec: ControlSpec, dtype: torch.dtype) -> nn.Module:
    said = spec.image_encoder
    source = spec.source if said is None or said.source is None else said.source
    if said is not None and said.folder is not None:
        folder = said.folder
    else:
        folder = "" if source is not spec.source else (PurePosixPath(str(spec.file)).parent / _ENCODER).as_posix()
    hub = source.hub
    if hub is not None:
        options: dict[str, Any] = {"subfolder": folder, "revision": hub.revision, "variant": hub.variant}
        name = hub.repo
    else:
        options, name = {}, str(Path(str(source.path)) / folder)
        if not Path(name).is_dir():
            raise ModelError(f"{spec.label} has no encoder of pictures: {name} does not exist in the pod")
    made: nn.Module = CLIPVisionModelWithProjection.from_pretrained(name, dtype=dtype, use_safetensors=True, **options)
    return made
