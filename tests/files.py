"""Adapter files made in memory: small, in each layout, and broken in each way."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

MODULE = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
_KEYS = {
    "diffusers": (f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight"),
    "peft": (f"base_model.model.{MODULE}.lora_A.weight", f"base_model.model.{MODULE}.lora_B.weight"),
    "kohya": (
        f"lora_unet_{MODULE.replace('.', '_')}.lora_down.weight",
        f"lora_unet_{MODULE.replace('.', '_')}.lora_up.weight",
    ),
}


def lora_file(layout: str = "diffusers", seed: int = 0, rank: int = 4, poison: float | None = None) -> bytes:
    """A file with one low-rank pair in that layout; `poison` replaces one of its values (NaN, infinity)."""
    random = np.random.default_rng(seed)
    down, up = _KEYS[layout]
    tensors: Mapping[str, NDArray[np.float32]] = {
        down: random.standard_normal((rank, 32), dtype=np.float32),
        up: random.standard_normal((16, rank), dtype=np.float32),
    }
    if layout == "kohya":
        tensors = {**tensors, down.replace("lora_down.weight", "alpha"): np.asarray(rank / 2, dtype=np.float32)}
    if poison is not None:
        tensors[up][0, 0] = poison
    return save(dict(tensors))


def whole_model_file() -> bytes:
    """A safetensors file that is no adapter."""
    return save({"model.diffusion_model.input_blocks.0.0.weight": np.zeros((4, 4), dtype=np.float32)})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
