"""A tiny SDXL pipeline with random weights of a fixed seed, and adapters for it in every layout.

It draws nothing anybody would recognise: it has SDXL's modules and names, so that layouts, converters and shapes
are the real ones, and it takes a second on a CPU.
"""

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

SIZE = 32
WIDTH = 32
_START, _END = "<|startoftext|>", "<|endoftext|>"


def make_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write the pipeline to the folder, as `save_pretrained` lays it out."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    text = text_config(len(tokenizer))
    pipeline = StableDiffusionXLPipeline(
        vae=make_vae(),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _unet() -> Any:
    return UNet2DConditionModel(
        sample_size=SIZE // 2,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )


def make_vae(shift: float | None = None, channels: int = 4) -> Any:
    blocks = 2
    return AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=channels,
        sample_size=SIZE,
        shift_factor=shift,
    )


def text_config(vocabulary: int) -> Any:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )


def make_tokenizer(folder: Path) -> Any:
    """One token per letter: every prompt has one, and different prompts have different ones."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*letters, *(f"{c}</w>" for c in letters), _START, _END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77, pad_token=_END, unk_token=_END)


# ---- adapters --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """What an adapter means for one module, in float64: W' = W + strength * delta."""

    component: str
    module: str
    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def delta(self) -> torch.Tensor:
        rank = self.down.shape[0]
        product = self.up.double().flatten(1) @ self.down.double().flatten(1)
        return product * (self.alpha / rank)


def attention_modules(pipeline: Any) -> list[tuple[str, str]]:
    """(component, module) of the attention projections of the UNet and of both text encoders."""
    ends = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
    return [
        (component, name)
        for component in ("unet", "text_encoder", "text_encoder_2")
        for name, _ in getattr(pipeline, component).named_modules()
        if name.endswith(ends)
    ]


def convolutions(pipeline: Any) -> list[tuple[str, str]]:
    """(component, module) of the residual blocks' convolutions."""
    return [
        ("unet", name)
        for name, _ in pipeline.unet.named_modules()
        if name.endswith(("conv1", "conv2", "conv_shortcut"))
    ]


def make_changes(
    pipeline: Any, modules: Iterable[tuple[str, str]], rank: int = 4, alpha: float = 4.0, seed: int = 1
) -> list[Change]:
    """Random low-rank changes, strong enough to be seen."""
    random = torch.Generator().manual_seed(seed)
    changes = []
    for component, module in modules:
        weight = getattr(pipeline, component).get_submodule(module).weight
        down = torch.randn((rank, *weight.shape[1:]), generator=random) * 0.2
        up = torch.randn((weight.shape[0], rank, *(1 for _ in weight.shape[2:])), generator=random) * 0.2
        changes.append(Change(component, module, down, up, alpha))
    return changes


def merge(pipeline: Any, stack: Iterable[tuple[Iterable[Change], float]]) -> None:
    """The reference: write W' = W + sum of strength * delta, computed in float64, into the pipeline."""
    totals: dict[tuple[str, str], torch.Tensor] = {}
    for changes, strength in stack:
        for change in changes:
            key = (change.component, change.module)
            totals[key] = totals.get(key, torch.zeros(())) + strength * change.delta
    for (component, module), delta in totals.items():
        weight = getattr(pipeline, component).get_submodule(module).weight
        weight.data = (weight.data.double() + delta.reshape(weight.shape)).to(weight.dtype)


def write_diffusers(path: Path, changes: Sequence[Change], dtype: torch.dtype = torch.float32) -> Path:
    """As `save_lora_weights` of today writes it, alpha in the metadata."""
    tensors: dict[str, torch.Tensor] = {}
    metadata: dict[str, Any] = {}
    for c in changes:
        tensors[f"{c.component}.{c.module}.lora_A.weight"] = c.down
        tensors[f"{c.component}.{c.module}.lora_B.weight"] = c.up
        metadata |= {f"{c.component}.r": c.down.shape[0], f"{c.component}.lora_alpha": c.alpha}
        metadata[f"{c.component}.target_modules"] = [m.module for m in changes if m.component == c.component]
    return _write(path, tensors, dtype, {"format": "pt", "lora_adapter_metadata": json.dumps(metadata)})


def write_peft(path: Path, changes: Sequence[Change], dtype: torch.dtype = torch.float32) -> Path:
    """As PEFT's `save_pretrained` writes a UNet's adapter: weights, and the configuration beside them."""
    tensors = {}
    for c in changes:
        assert c.component == "unet"
        tensors[f"base_model.model.{c.module}.lora_A.weight"] = c.down
        tensors[f"base_model.model.{c.module}.lora_B.weight"] = c.up
    config = {"peft_type": "LORA", "r": changes[0].down.shape[0], "lora_alpha": changes[0].alpha}
    path.with_name("adapter_config.json").write_text(json.dumps(config))
    return _write(path, tensors, dtype, {"format": "pt"})


def write_kohya(path: Path, changes: Iterable[Change], dtype: torch.dtype = torch.float32) -> Path:
    """As kohya's trainer writes it for SDXL: names of the original layout, alpha beside each pair."""
    tensors = {}
    for c in changes:
        name = kohya_name(c.component, c.module)
        tensors[f"{name}.lora_down.weight"] = c.down
        tensors[f"{name}.lora_up.weight"] = c.up
        tensors[f"{name}.alpha"] = torch.tensor(c.alpha)
    return _write(path, tensors, dtype, {"ss_network_module": "networks.lora"})


def kohya_name(component: str, module: str) -> str:
    """The name of a module in kohya's layout, for a UNet with two layers per block and two blocks."""
    if component != "unet":
        prefix = {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}[component]
        return f"{prefix}_text_model_{module.removeprefix('text_model.').replace('.', '_')}"
    return f"lora_unet_{_original(module).replace('.', '_')}"


_RESNET = {"conv1": "in_layers.2", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def _original(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "mid_block":
        index = 1 if parts[1] == "attentions" else 2 * int(parts[2])
        return ".".join(["middle_block", str(index), *_inner(parts[1], parts[3:])])
    side, block, kind, layer = parts[0], int(parts[1]), parts[2], int(parts[3])
    index = 3 * block + layer + (1 if side == "down_blocks" else 0)
    original = "input_blocks" if side == "down_blocks" else "output_blocks"
    return ".".join([original, str(index), "1" if kind == "attentions" else "0", *_inner(kind, parts[4:])])


def _inner(kind: str, rest: list[str]) -> list[str]:
    return rest if kind == "attentions" else [_RESNET[rest[0]], *rest[1:]]


def _write(path: Path, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, metadata: dict[str, str]) -> Path:
    save_file({k: t.to(dtype).contiguous() for k, t in tensors.items()}, path, metadata)
    return path
