"""The transformers of Flux and SD3, and files with fused modules for them: what a test of their formats compares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tests import tiny_families
from tests.reference import Part, change
from tests.runtime.ask import adapter_file
from tests.runtime.networks import MAKERS
from torch import Tensor

from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.fit import check_fits
from lorapool_runtime.adapters.check import read_header
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter, read_adapter

# Of the largest value of the answer: sums of float32 in another order, against a change that is a thousand times it.
ROUNDING = 1e-5
SEEN = 1e-2
WIDTH = tiny_families.WIDTH
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Family:
    make: Callable[[], Any]
    answer: Callable[[Any], Tensor]


FLUX = Family(tiny_families.make_flux, tiny_families.flux_answer)
SD3 = Family(tiny_families.make_sd3, tiny_families.sd3_answer)


def read(family: Family, path: Path) -> tuple[Any, Switchboard, LoraAdapter]:
    model = family.make()
    board = Switchboard({"transformer": model})
    file = adapter_file(path)
    check_fits(read_facts(read_header(path)), board.modules())
    return model, board, read_adapter(file, board, torch.float32, widths={})


def check(family: Family, path: Path, wanted: Tensor) -> None:
    """lorapool's answer with the file, unmerged and merged, is the wanted one, which is another than the base's."""
    model, board, adapter = read(family, path)
    bare = family.answer(model)
    size = float(wanted.abs().max())
    assert float((wanted - bare).abs().max()) > SEEN * size
    for merge in (False, True):
        board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 1.0),), merge=merge))
        assert float((family.answer(model) - wanted).abs().max()) <= ROUNDING * size
    board.clear()
    assert torch.equal(family.answer(model), bare)


QKV, MLP = (3 * WIDTH, WIDTH), (4 * WIDTH, WIDTH)
SQUARE = (WIDTH, WIDTH)
Shapes = dict[str, tuple[int, ...]]
FLUX_MODULES: Shapes = {
    "double_blocks.0.img_attn.qkv": QKV,
    "double_blocks.1.txt_attn.qkv": QKV,
    "double_blocks.0.img_attn.proj": SQUARE,
    "double_blocks.1.txt_attn.proj": SQUARE,
    "double_blocks.0.img_mlp.0": MLP,
    "double_blocks.0.txt_mlp.2": (WIDTH, 4 * WIDTH),
    "double_blocks.1.img_mod.lin": (6 * WIDTH, WIDTH),
    "img_in": (WIDTH, 4),
    "txt_in": (WIDTH, tiny_families.TEXT_WIDTH),
    "time_in.out_layer": SQUARE,
    "vector_in.in_layer": (WIDTH, tiny_families.POOLED),
    "guidance_in.out_layer": SQUARE,
    "final_layer.linear": (4, WIDTH),
    "final_layer.adaLN_modulation.1": (2 * WIDTH, WIDTH),
}
FLUX_SINGLE: Shapes = {
    "single_blocks.0.linear1": (7 * WIDTH, WIDTH),
    "single_blocks.1.linear2": (WIDTH, 5 * WIDTH),
    "single_blocks.1.modulation.lin": (3 * WIDTH, WIDTH),
}
SD3_MODULES: Shapes = {
    "joint_blocks.0.x_block.attn.qkv": QKV,
    "joint_blocks.1.context_block.attn.qkv": QKV,
    "joint_blocks.0.x_block.attn2.qkv": QKV,
    "joint_blocks.0.x_block.attn.proj": SQUARE,
    "joint_blocks.0.context_block.attn.proj": SQUARE,
    "joint_blocks.1.x_block.mlp.fc1": MLP,
    "joint_blocks.0.context_block.mlp.fc2": (WIDTH, 4 * WIDTH),
    "joint_blocks.1.x_block.adaLN_modulation.1": (6 * WIDTH, WIDTH),
    "joint_blocks.0.context_block.adaLN_modulation.1": (6 * WIDTH, WIDTH),
    "joint_blocks.1.context_block.adaLN_modulation.1": (2 * WIDTH, WIDTH),
    "x_embedder.proj": (WIDTH, 4, 2, 2),
    "context_embedder": (WIDTH, tiny_families.TEXT_WIDTH),
    "t_embedder.mlp.2": SQUARE,
    "y_embedder.mlp.0": (WIDTH, tiny_families.POOLED),
    "final_layer.adaLN_modulation.1": (2 * WIDTH, WIDTH),
}
# Original name -> names in the base and each one's share of the rows: written down apart from the code under test.
Cut = tuple[tuple[str, int, int], ...]


def cut(name: str, rows: int) -> Cut:
    block = ".".join(name.split(".")[:2])
    own = {"double_blocks": "transformer_blocks", "joint_blocks": "transformer_blocks"}.get(name.split(".")[0])
    at = f"{own or 'single_transformer_blocks'}.{block.rpartition('.')[2]}"
    third = rows // 3
    if name.endswith("linear1"):
        thirds = [(f"{at}.attn.to_{p}", i * WIDTH, (i + 1) * WIDTH) for i, p in enumerate("qkv")]
        return (*thirds, (f"{at}.proj_mlp", 3 * WIDTH, rows))
    if name.endswith("qkv"):
        added = "context" in name or "txt" in name
        names = [f"attn.add_{p}_proj" if added else f"attn{'2' if 'attn2' in name else ''}.to_{p}" for p in "qkv"]
        return tuple((f"{at}.{n}", i * third, (i + 1) * third) for i, n in enumerate(names))
    whole = {
        "img_attn.proj": "attn.to_out.0", "txt_attn.proj": "attn.to_add_out", "img_mlp.0": "ff.net.0.proj",
        "txt_mlp.2": "ff_context.net.2", "img_mod.lin": "norm1.linear", "linear2": "proj_out",
        "modulation.lin": "norm.linear", "x_block.attn.proj": "attn.to_out.0",
        "context_block.attn.proj": "attn.to_add_out", "x_block.mlp.fc1": "ff.net.0.proj",
        "context_block.mlp.fc2": "ff_context.net.2", "x_block.adaLN_modulation.1": "norm1.linear",
        "context_block.adaLN_modulation.1": "norm1_context.linear",
    }  # fmt: skip
    outside = {
        "img_in": "x_embedder", "txt_in": "context_embedder",
        "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
        "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
        "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2", "final_layer.linear": "proj_out",
        "final_layer.adaLN_modulation.1": "norm_out.linear", "x_embedder.proj": "pos_embed.proj",
        "context_embedder": "context_embedder", "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
        "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    }  # fmt: skip
    if name in outside:
        return ((outside[name], 0, rows),)
    return ((f"{at}.{whole[name.removeprefix(block + '.')]}", 0, rows),)


def is_swapped(name: str, rows: int) -> bool:
    return rows == 2 * WIDTH and "adaLN" in name


def merge(model: Any, name: str, shape: tuple[int, ...], tensors: Mapping[str, Tensor]) -> None:
    """W' = W + dW in float64 for each module that the original one stands for."""
    whole = torch.cat([model.get_submodule(module).weight for module, _, _ in cut(name, shape[0])])
    if is_swapped(name, shape[0]):
        made = change(Part(tensors), torch.cat([whole[WIDTH:], whole[:WIDTH]]))
        made = torch.cat([made[WIDTH:], made[:WIDTH]])
    else:
        made = change(Part(tensors), whole)
    for module, begin, end in cut(name, shape[0]):
        weight = model.get_submodule(module).weight
        weight.data = (weight.double() + made[begin:end]).float()


def write(family: Family, kind: str, modules: Mapping[str, tuple[int, ...]], path: Path, prefix: str) -> Tensor:
    """A file with a random network for each module, and the answer of a model with those merged in float64."""
    dice = torch.Generator().manual_seed(5)
    model = family.make()
    file: Weights = {}
    flat = prefix.startswith("lora_")
    for name, shape in modules.items():
        tensors = {k: v if k == "alpha" else v * 1.2 for k, v in MAKERS[kind](shape, 4, dice).items()}
        merge(model, name, shape, tensors)
        key = prefix + (name.replace(".", "_") if flat else name)
        file |= {f"{key}.{part}": tensor.contiguous() for part, tensor in tensors.items()}
    save_file(file, path)
    return family.answer(model)


CASES: dict[str, tuple[Family, Shapes]] = {
    "flux": (FLUX, FLUX_MODULES | FLUX_SINGLE),
    "sd3": (SD3, SD3_MODULES),
}
