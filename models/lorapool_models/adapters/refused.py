"""Adapter files that must not be served, each with the reason that its `LoraAdapter` will carry.

They lie beside the others as repositories of the Hub, for tests and for whoever wants to see what a refusal looks like.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save

from lorapool_api.kinds.conditions import Reason

FILE: Final = "pytorch_lora_weights.safetensors"
_MODULE: Final = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
_WIDTH: Final = 96


@dataclass(frozen=True)
class RefusedFile:
    """A file, what is wrong with it, and the reason of its condition."""

    name: str
    reason: Reason
    what: str
    content: Callable[[], bytes]


def _pair(**changes: Any) -> dict[str, torch.Tensor]:
    """A small LoRA that fits `shapes-xl`, before something is done to it."""
    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(4, _WIDTH, generator=generator) * 0.01, torch.randn(_WIDTH, 4, generator=generator) * 0.01
    return {f"{_MODULE}.lora_A.weight": down, f"{_MODULE}.lora_B.weight": up} | changes


def _sd15() -> bytes:
    """For a UNet of SD 1.5's widths; PEFT puts it on, diffusers names its keys."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            cross_attention_dim=768,
            attention_head_dim=8,
        )
    unet.add_adapter(LoraConfig(r=1, lora_alpha=1, target_modules=["attn2.to_k", "attn2.to_v"]))
    generator = torch.Generator().manual_seed(0)
    shapes = get_peft_model_state_dict(unet, adapter_name="default")
    weights = {key: torch.randn(t.shape, generator=generator).half() * 0.01 for key, t in shapes.items()}
    return _as_diffusers_saves(weights)


def _as_diffusers_saves(weights: dict[str, torch.Tensor]) -> bytes:
    kept: dict[str, bytes] = {}

    def keep(tensors: dict[str, torch.Tensor], _: str) -> None:
        kept["file"] = save(tensors, {"format": "pt"})

    StableDiffusionPipeline.save_lora_weights("unused", unet_lora_layers=weights, save_function=keep)
    return kept["file"]


def _lies_about_its_size() -> bytes:
    header = {f"{_MODULE}.lora_A.weight": {"dtype": "F32", "shape": [4, _WIDTH], "data_offsets": [0, 4 * _WIDTH * 4]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 64


def _pickle() -> bytes:
    file = io.BytesIO()
    torch.save(_pair(), file)
    return file.getvalue()


def _not_finite() -> bytes:
    tensors = _pair()
    tensors[f"{_MODULE}.lora_B.weight"][3, 1] = float("nan")
    return save(tensors)


REFUSED: Final = (
    RefusedFile("for-sd15", Reason.BASE_MODEL_MISMATCH, "a good LoRA, but for Stable Diffusion 1.5", _sd15),
    RefusedFile(
        "odd-keys",
        Reason.UNSUPPORTED_FORMAT,
        "one key that nothing reads, beside a good pair",
        lambda: save(_pair(**{f"{_MODULE}.lora_C.weight": torch.ones(4, 4)})),
    ),
    RefusedFile(
        "no-lora",
        Reason.NOT_A_LORA,
        "a piece of a whole model",
        lambda: save({"down_blocks.0.resnets.0.conv1.weight": torch.ones(48, 48, 3, 3, dtype=torch.float16)}),
    ),
    RefusedFile("cut-off", Reason.INVALID_WEIGHTS, "the first half of a file", lambda: save(_pair())[:1000]),
    RefusedFile(
        "too-short", Reason.INVALID_WEIGHTS, "a header that announces more than there is", _lies_about_its_size
    ),
    RefusedFile("a-pickle", Reason.INVALID_WEIGHTS, "a pickle under the name of a safetensors file", _pickle),
    RefusedFile("not-finite", Reason.INVALID_WEIGHTS, "one weight that is not a number", _not_finite),
    RefusedFile(
        "high-rank",
        Reason.RANK_TOO_HIGH,
        "rank 256, where a pool takes 128 unless it says otherwise",
        lambda: save(
            {
                f"{_MODULE}.lora_A.weight": torch.full((256, _WIDTH), 0.01, dtype=torch.float16),
                f"{_MODULE}.lora_B.weight": torch.full((_WIDTH, 256), 0.01, dtype=torch.float16),
            }
        ),
    ),
)


def write(root: Path) -> None:
    """A repository for each: the file, and a card that says what is wrong."""
    for refused in REFUSED:
        folder = root / refused.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(refused.content())
        (folder / "README.md").write_text(_card(refused))


def _card(refused: RefusedFile) -> str:
    return dedent(f"""\
        ---
        base_model: lorapool/shapes-xl
        license: apache-2.0
        tags: [lora, diffusers]
        ---
        # {refused.name}

        A file that must not be served: {refused.what}. Its `LoraAdapter` says `{refused.reason.value}`.
        """)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("models/weights"))
    write(parser.parse_args().weights / "refused")


if __name__ == "__main__":
    _main()
