"""LoKr files for transformers: the same changes as diffusers' converters make of them, in float64.

diffusers has no fused module but where its model is told to fuse; there the rows of the product are compared.
"""

from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.runtime.ask import adapter_file
from tests.runtime.formats.layouts.families import Family, Outputs, Shapes, board, modules_of
from tests.runtime.networks import MAKERS
from torch import Tensor

from lorapool_api.lora.fit import check_fits
from lorapool_runtime.engine.diffusers.layers.delta import add_delta
from lorapool_runtime.engine.diffusers.weights.read import read_adapter

FLUX2 = Family(
    "Flux2Transformer2DModel",
    "Flux2Pipeline",
    (
        ("in_channels", 16),
        ("num_layers", 1),
        ("num_single_layers", 1),
        ("attention_head_dim", 16),
        ("num_attention_heads", 2),
        ("joint_attention_dim", 24),
        ("axes_dims_rope", (4, 4, 4, 4)),
    ),
)
Z_IMAGE = Family(
    "ZImageTransformer2DModel",
    "ZImagePipeline",
    (("dim", 64), ("n_layers", 1), ("n_heads", 2), ("n_kv_heads", 2), ("axes_dims", (8, 12, 12)), ("cap_feat_dim", 16)),
)
WIDTH = 32
ORIGINAL: Shapes = {
    "double_blocks.0.img_attn.qkv": (3 * WIDTH, WIDTH), "double_blocks.0.txt_attn.qkv": (3 * WIDTH, WIDTH),
    "double_blocks.0.img_attn.proj": (WIDTH, WIDTH), "double_blocks.0.txt_mlp.0": (6 * WIDTH, WIDTH),
    "single_blocks.0.linear1": (9 * WIDTH, WIDTH), "single_blocks.0.linear2": (WIDTH, 4 * WIDTH),
}  # fmt: skip
# What diffusers fuses where a file changes it whole.
PIECES = {"attn.to_qkv": ("to_q", "to_k", "to_v"), "attn.to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj")}


def of_blocks(family: Family) -> Shapes:
    return {name: shape for name, shape in modules_of(family).items() if ".0." in name and "embed" not in name}


def dotted(prefix: str) -> Callable[[str], str]:
    return lambda module: prefix + module


def of_lycoris(module: str) -> str:
    return f"lycoris_{module.replace('.', '_')}"


CASES: dict[str, tuple[Family, Callable[[str], str], Shapes]] = {
    "Flux.2, ai-toolkit": (FLUX2, dotted("diffusion_model."), ORIGINAL),
    "Flux.2, LyCORIS": (FLUX2, of_lycoris, {k: s for k, s in of_blocks(FLUX2).items() if "transformer_blocks" in k}),
    "Flux.2, SimpleTuner": (FLUX2, dotted(""), of_blocks(FLUX2)),
    "Z-Image, ai-toolkit": (Z_IMAGE, dotted("diffusion_model."), of_blocks(Z_IMAGE)),
}


@pytest.mark.parametrize("kind", ["lokr", "lokr_both", "lokr_full"])
@pytest.mark.parametrize("case", CASES)
def test_a_lokr_changes_what_diffusers_says(case: str, kind: str, tmp_path: Path) -> None:
    family, key, shapes = CASES[case]
    path = tmp_path / "a.safetensors"
    dice = torch.Generator().manual_seed(3)
    made = {name: MAKERS[kind](shape, 2, dice) for name, shape in shapes.items()}
    save_file({f"{key(name)}.{part}": t for name, parts in made.items() for part, t in parts.items()}, path)

    ours, theirs = by_lorapool(family, path), by_diffusers(family, path)

    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        assert torch.allclose(ours[name].double(), wanted, rtol=1e-5, atol=1e-5), name


def by_lorapool(family: Family, path: Path) -> Outputs:
    here = board(family)
    file = adapter_file(path)
    check_fits(file.facts, here.modules())
    adapter = read_adapter(file, here, torch.float32, widths={})
    made: Outputs = {}
    for delta in adapter.device_adapter(adapter.flat).deltas:
        made[delta.target.name] = torch.zeros(delta.target.shape)
        add_delta(made[delta.target.name], delta, 1.0)
    return made


def by_diffusers(family: Family, path: Path) -> Outputs:
    state = getattr(diffusers, family.pipeline).lora_state_dict(load_file(path))
    modules = {key.removeprefix("transformer.").rpartition(".lokr_")[0] for key in state}
    made: Outputs = {}
    for module in modules:
        parts = {
            k.rpartition(".")[2]: t.double() for k, t in state.items() if k.startswith(f"transformer.{module}.lokr")
        }
        change = torch.kron(_factor(parts, "lokr_w1"), _factor(parts, "lokr_w2"))
        owner, _, last = module.rpartition(".attn.")
        pieces = PIECES.get(f"attn.{last}")
        if pieces is None:
            made[module] = change
        else:
            thirds = zip(pieces, change.chunk(3), strict=True)
            made |= {f"{owner}.attn.{piece}": rows for piece, rows in thirds}
    return made


def _factor(parts: dict[str, Tensor], name: str) -> Tensor:
    return parts[name] if name in parts else parts[f"{name}_a"] @ parts[f"{name}_b"]
