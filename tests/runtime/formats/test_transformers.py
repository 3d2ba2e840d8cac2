"""Files for the transformers of Flux and SD3 in every layout: applied by lorapool, and by diffusers or in float64."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tests import tiny_families
from tests.reference import Part, delta
from tests.runtime import networks
from tests.runtime.ask import adapter_file
from tests.runtime.networks import MAKERS
from torch import Tensor

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.fit import check_fits
from lorapool_runtime.adapters.check import read_header
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter, read_adapter
from lorapool_runtime.errors import AdapterError

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


@pytest.fixture(autouse=True)
def on_one_thread(one_thread: None) -> None:
    """The machine is shared."""


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


# ---- files that diffusers and PEFT write -----------------------------------------------------------------------


@pytest.mark.parametrize("family", [pytest.param(FLUX, id="flux"), pytest.param(SD3, id="sd3")])
@pytest.mark.parametrize("layout", ["diffusers", "peft"])
def test_a_file_of_diffusers_and_of_peft(family: Family, layout: str, tmp_path: Path) -> None:
    model = family.make()
    model.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_v", "add_k_proj", "ff.net.0.proj"]))
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path / "a.safetensors"
    if layout == "diffusers":
        model.save_lora_adapter(tmp_path, weight_name=path.name)
        weights = {f"transformer.{k.removeprefix('transformer.')}": v for k, v in load_file(path).items()}
        save_file(weights, path, _metadata(8, 4))
    else:
        state = get_peft_model_state_dict(model, adapter_name="default")
        save_file({f"base_model.model.{k}": v.contiguous() for k, v in state.items()}, path)
        path.with_name("adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 8}')
    check(family, path, family.answer(model))


def _metadata(alpha: int, rank: int) -> dict[str, str]:
    return {"lora_adapter_metadata": f'{{"transformer.lora_alpha": {alpha}, "transformer.r": {rank}}}'}


# ---- keys of the original code, fused modules among them -------------------------------------------------------

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
    made = delta(Part(tensors), shape)
    if is_swapped(name, shape[0]):
        made = torch.cat([made[WIDTH:], made[:WIDTH]])
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


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["lora", "loha", "lokr", "lokr_full", "lokr_both"])
def test_a_file_of_kohya_with_fused_modules(name: str, kind: str, tmp_path: Path) -> None:
    family, modules = CASES[name]
    path = tmp_path / "a.safetensors"
    check(family, path, write(family, kind, modules, path, "lora_unet_"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("prefix", ["diffusion_model.", ""])
def test_the_same_keys_with_dots(name: str, prefix: str, tmp_path: Path) -> None:
    family, modules = CASES[name]
    path = tmp_path / "a.safetensors"
    check(family, path, write(family, "lora", modules, path, prefix))


@pytest.mark.filterwarnings("ignore:While injecting the PEFT adapters:RuntimeWarning")
@pytest.mark.parametrize("ranks", [4, 6])
def test_a_file_of_kohya_is_what_diffusers_takes_it_for(ranks: int, tmp_path: Path) -> None:
    """diffusers knows the widths of Flux's single blocks only in full size: the double blocks are compared.

    It drops the alpha of the last layer; here it is the rank.
    """
    dice = torch.Generator().manual_seed(6)
    file: Weights = {}
    for name, shape in FLUX_MODULES.items():
        key = f"lora_unet_{name.replace('.', '_')}"
        file |= {f"{key}.{part}": t.contiguous() for part, t in networks.lora(shape, ranks, dice).items()}
        if name.startswith("final_layer"):
            file[f"{key}.alpha"] = torch.tensor(float(ranks))
    path = tmp_path / "a.safetensors"
    save_file(file, path)
    state = FluxPipeline.lora_state_dict(load_file(path))
    model = FLUX.make()
    model.load_lora_adapter({k.removeprefix("transformer."): v for k, v in state.items()}, prefix=None)
    check(FLUX, path, FLUX.answer(model))


def test_a_file_of_xlabs_is_what_diffusers_takes_it_for(tmp_path: Path) -> None:
    dice = torch.Generator().manual_seed(6)
    file: Weights = {}
    for block, hooks in (("double_blocks.0", ("qkv_lora1", "proj_lora1", "qkv_lora2", "proj_lora2")),
                         ("single_blocks.1", ("qkv_lora",))):  # fmt: skip
        for hook in hooks:
            outputs = 3 * WIDTH if "qkv" in hook else WIDTH
            file[f"{block}.processor.{hook}.down.weight"] = torch.randn(4, WIDTH, generator=dice) * 0.3
            file[f"{block}.processor.{hook}.up.weight"] = torch.randn(outputs, 4, generator=dice) * 0.3
    path = tmp_path / "a.safetensors"
    save_file(file, path)
    state = FluxPipeline.lora_state_dict(load_file(path))
    model = FLUX.make()
    model.load_lora_adapter(state, prefix="transformer")
    check(FLUX, path, FLUX.answer(model))


def test_lengths_of_fused_outputs_are_cut_too(tmp_path: Path) -> None:
    """A DoRA's lengths are of the outputs: each module gets its own."""
    dice = torch.Generator().manual_seed(7)
    model = FLUX.make()
    name, shape = "double_blocks.0.img_attn.qkv", QKV
    tensors = networks.lora(shape, 4, dice)
    made = delta(Part(tensors), shape)
    lengths = torch.rand(shape[0], 1, generator=dice) + 0.5
    for module, begin, end in cut(name, shape[0]):
        weight = model.get_submodule(module).weight
        moved = weight.double() + made[begin:end]
        weight.data = (moved * lengths[begin:end].double() / moved.norm(dim=1, keepdim=True)).float()
    path = tmp_path / "a.safetensors"
    key = f"lora_unet_{name.replace('.', '_')}"
    save_file({f"{key}.{k}": v for k, v in tensors.items()} | {f"{key}.dora_scale": lengths}, path)
    check(FLUX, path, FLUX.answer(model))


def test_pieces_share_what_cannot_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write(FLUX, "lora", {"single_blocks.0.linear1": (7 * WIDTH, WIDTH)}, path, "lora_unet_")
    _, _, adapter = read(FLUX, path)
    assert len(adapter.slots) == 4
    assert len({slot.parts["down"][0] for slot in adapter.slots}) == 1
    assert adapter.size_bytes == 4 * (4 * WIDTH + 7 * WIDTH * 4)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        pytest.param("single_blocks.0.linear1", (2 * WIDTH, WIDTH), Reason.INVALID_WEIGHTS, id="too few rows"),
        pytest.param("double_blocks.0.img_attn.qkv", (3 * WIDTH + 1, WIDTH), Reason.INVALID_WEIGHTS, id="no thirds"),
    ],
)
def test_rows_that_are_not_those_of_the_modules_are_refused(
    name: str, shape: tuple[int, int], reason: Reason, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    file = networks.lora(shape, 4, torch.Generator())
    save_file({f"lora_unet_{name.replace('.', '_')}.{k}": v for k, v in file.items()}, path)
    with pytest.raises(AdapterError) as error:
        adapter_file(path)
    assert error.value.reason is reason


def test_a_fused_module_beside_one_of_its_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    dice = torch.Generator()
    fused = {f"double_blocks.0.img_attn.qkv.{k}": v for k, v in networks.lora(QKV, 4, dice).items()}
    own = {f"transformer.transformer_blocks.0.attn.to_k.{k}": v for k, v in networks.lora(SQUARE, 4, dice).items()}
    save_file(fused | own, path)
    with pytest.raises(AdapterError, match="two modules of the file change") as error:
        adapter_file(path)
    assert error.value.reason is Reason.UNSUPPORTED_FORMAT
