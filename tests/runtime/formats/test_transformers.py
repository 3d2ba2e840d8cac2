"""Files for the transformers of Flux and SD3 in every layout: applied by lorapool, and by diffusers or in float64."""

from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tests.reference import Part, delta
from tests.runtime import networks
from tests.runtime.ask import adapter_file
from tests.runtime.formats.fused import (
    CASES,
    FLUX,
    FLUX_MODULES,
    QKV,
    SD3,
    SQUARE,
    WIDTH,
    Family,
    Weights,
    check,
    cut,
    read,
    write,
)

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_runtime.errors import AdapterError


@pytest.fixture(autouse=True)
def on_one_thread(one_thread: None) -> None:
    """The machine is shared."""


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


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["lora", "loha", "lokr", "lokr_full", "lokr_both", "glora"])
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
        pytest.param("single_blocks.0.linear1", (2 * WIDTH, WIDTH), Reason.BASE_MODEL_MISMATCH, id="too few rows"),
        pytest.param("double_blocks.0.img_attn.qkv", (3 * WIDTH + 1, WIDTH), Reason.INVALID_WEIGHTS, id="no thirds"),
    ],
)
def test_rows_that_are_not_those_of_the_modules_are_refused(
    name: str, shape: tuple[int, int], reason: Reason, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    file = networks.lora(shape, 4, torch.Generator())
    save_file({f"lora_unet_{name.replace('.', '_')}.{k}": v for k, v in file.items()}, path)
    with pytest.raises((AdapterError, FactsError)) as error:
        read(FLUX, path)
    assert isinstance(error.value, AdapterError | FactsError)
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
