"""What a name of an original layout means is what diffusers' own conversion of that base makes of the module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux2_transformer_checkpoint_to_diffusers,
    convert_krea2_transformer_checkpoint_to_diffusers,
    convert_lumina2_to_diffusers,
    convert_z_image_transformer_checkpoint_to_diffusers,
)
from safetensors.torch import load_file
from tests.runtime.ask import adapter_file
from tests.runtime.formats.layouts.families import (
    AI_TOOLKIT,
    BARE_PEFT,
    KOHYA,
    Family,
    Shapes,
    board,
    by_lorapool,
    modules_of,
)
from tests.runtime.formats.layouts.numbered import found_rows, numbered
from tests.runtime.formats.layouts.test_layouts import (
    FLUX,
    FLUX2,
    FLUX2_BLOCKS,
    FLUX2_MODULATION,
    KREA2,
    KREA_BLOCKS,
    LUMINA2,
    LUMINA_BLOCKS,
    Z_FUSED,
    Z_IMAGE,
)

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_runtime.errors import AdapterError

Convert = Callable[[dict[str, torch.Tensor]], dict[str, Any]]
LUMINA_OUTSIDE: Shapes = {
    "final_layer.linear": (64, 2304), "final_layer.adaLN_modulation.1": (2304, 1024), "cap_embedder.1": (2304, 1024),
    "t_embedder.mlp.0": (1024, 256), "t_embedder.mlp.2": (1024, 1024), "x_embedder": (2304, 64),
}  # fmt: skip
Z_OUTSIDE: Shapes = {
    "final_layer.linear": (64, 3840), "final_layer.adaLN_modulation.1": (3840, 256), "x_embedder": (3840, 64),
    "cap_embedder.1": (3840, 2560), "t_embedder.mlp.0": (1024, 256),
}  # fmt: skip
LAST: Shapes = {"final_layer.adaLN_modulation.1": (2 * 6144, 6144)}
BASES: dict[str, tuple[Family, Convert, Shapes]] = {
    "flux2": (
        FLUX2,
        convert_flux2_transformer_checkpoint_to_diffusers,
        {**FLUX2_BLOCKS, **FLUX2_MODULATION, **LAST},
    ),
    "z-image": (Z_IMAGE, convert_z_image_transformer_checkpoint_to_diffusers, {**Z_FUSED, **Z_OUTSIDE}),
    "lumina2": (LUMINA2, convert_lumina2_to_diffusers, {**LUMINA_BLOCKS, **LUMINA_OUTSIDE}),
    "krea2": (KREA2, convert_krea2_transformer_checkpoint_to_diffusers, KREA_BLOCKS),
}


@pytest.mark.parametrize("base", BASES)
def test_every_row_is_where_the_conversion_of_the_base_puts_it(base: str) -> None:
    family, convert, shapes = BASES[base]
    wanted = {name.removesuffix(".weight"): rows.flatten() for name, rows in convert(numbered(shapes)).items()}
    found = found_rows(family, shapes)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(rows, wanted[name]) for name, rows in found.items())


def test_the_last_modulation_of_flux2_is_exchanged_as_in_the_base(tmp_path: Path) -> None:
    """diffusers' converter of adapters for Flux.2 leaves it as it is, but its conversion of the base does not."""
    path = AI_TOOLKIT(tmp_path / "a.safetensors", LAST)
    tensors = load_file(path)
    up = tensors["diffusion_model.final_layer.adaLN_modulation.1.lora_B.weight"]
    down = tensors["diffusion_model.final_layer.adaLN_modulation.1.lora_A.weight"]
    x = torch.randn(6144, 2, generator=torch.Generator().manual_seed(6144))
    (found,) = by_lorapool(FLUX2, path).values()
    exchanged = torch.cat([up[6144:], up[:6144]]).double() @ (down.double() @ x.double())
    assert torch.allclose(found, exchanged)


@pytest.mark.parametrize("base", ["z-image", "lumina2", "krea2"])
def test_in_the_keys_of_kohya_the_same_names_mean_the_same(base: str, tmp_path: Path) -> None:
    """diffusers reads none of these; alpha / rank is 0.5 there."""
    family, _, shapes = BASES[base]
    kohya = by_lorapool(family, KOHYA(tmp_path / "a.safetensors", shapes))
    dotted = by_lorapool(family, AI_TOOLKIT(tmp_path / "b.safetensors", shapes))
    assert kohya.keys() == dotted.keys()
    assert all(torch.allclose(kohya[name], 0.5 * dotted[name]) for name in kohya)


def test_one_name_is_another_module_in_another_base(tmp_path: Path) -> None:
    linear1 = "single_blocks.0.linear1"
    by_flux = by_lorapool(FLUX, AI_TOOLKIT(tmp_path / "a.safetensors", {linear1: (7 * 3072, 3072)}))
    by_flux2 = by_lorapool(FLUX2, AI_TOOLKIT(tmp_path / "b.safetensors", {linear1: (9 * 6144, 6144)}))
    assert len(by_flux) == 4
    assert list(by_flux2) == ["single_transformer_blocks.0.attn.to_qkv_mlp_proj"]


def test_two_names_of_one_module_are_refused_whichever_base_they_meet(tmp_path: Path) -> None:
    """As trainers write that save the queries of Z-Image both fused and by themselves."""
    split = {"layers.0.attn.to_q": (2304, 2304), "layers.0.attention.qkv": (2304 + 2 * 768, 2304)}
    file = adapter_file(AI_TOOLKIT(tmp_path / "a.safetensors", split))
    with pytest.raises(FactsError, match="two modules of the file change") as refusal:
        check_fits(file.facts, board(LUMINA2).modules())
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


def test_a_file_for_another_family_of_the_same_names_is_refused(tmp_path: Path) -> None:
    file = adapter_file(AI_TOOLKIT(tmp_path / "a.safetensors", LUMINA_BLOCKS))
    with pytest.raises(FactsError) as refusal:
        check_fits(file.facts, board(Z_IMAGE).modules())
    assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH


def test_peft_weights_of_diffusers_modules_need_their_configuration(tmp_path: Path) -> None:
    """Those of the original code do not: their trainers upload none, and everybody reads alpha as the rank."""
    shapes = {name: shape for name, shape in modules_of(Z_IMAGE).items() if name.endswith("to_q")}
    with pytest.raises(AdapterError, match=r"adapter_config\.json"):
        by_lorapool(Z_IMAGE, BARE_PEFT(tmp_path / "a.safetensors", shapes))
    assert by_lorapool(Z_IMAGE, BARE_PEFT(tmp_path / "b.safetensors", Z_FUSED))
