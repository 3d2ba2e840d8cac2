"""The names and rows of the original Flux and SD3 layouts are those of diffusers' own conversion of the base models."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_sd3_transformer_checkpoint_to_diffusers,
)

from lorapool_api.lora.layouts.mmdit import split_rows
from lorapool_api.lora.layouts.originals import readings

WIDTH = 3072
STRIDE = 1_000_000
"""More than any module has rows: `STRIDE * i + row` stands for a row of the i-th module of the original."""


class Original(dict[str, Any]):
    """A checkpoint that has every weight it is asked for; its rows are numbered."""

    asked: list[str]

    def pop(self, key: str, *default: Any) -> Any:
        self.asked.append(key)
        rows = torch.arange(outputs(key)) + STRIDE * (len(self.asked) - 1)
        return rows.unsqueeze(1) if key.endswith("weight") else rows


def outputs(key: str) -> int:
    """As many rows as the module has in a model of that width."""
    if "qkv" in key:
        return 3 * WIDTH
    if "linear1" in key:
        return 7 * WIDTH
    if "final_layer.adaLN" in key or "joint_blocks.1.context_block.adaLN" in key:
        return 2 * WIDTH
    return 6 * WIDTH


FLUX = ("double_blocks.0.x", "single_blocks.0.x", "guidance_in.x")
SD3 = ("joint_blocks.0.x_block.attn2.qkv.weight", "joint_blocks.1.x_block.attn.qkv.weight", "context_embedder.weight")


@pytest.mark.parametrize(
    ("convert", "keys"),
    [
        pytest.param(convert_flux_transformer_checkpoint_to_diffusers, FLUX, id="flux"),
        pytest.param(convert_sd3_transformer_checkpoint_to_diffusers, SD3, id="sd3"),
    ],
)
def test_every_row_is_where_the_conversion_of_the_base_puts_it(
    convert: Callable[..., dict[str, torch.Tensor]], keys: tuple[str, ...]
) -> None:
    original = Original(dict.fromkeys(keys, torch.zeros(WIDTH, 1)))
    original.asked = []
    converted = convert(original)

    checked = 0
    for name, value in converted.items():
        rows = value.flatten()
        source = original.asked[int(rows[0]) // STRIDE]
        module, _, kind = source.rpartition(".")
        if kind != "weight" or "norm." in module or ".ln_" in module or module == "pos_embed":
            continue
        flat = module.replace(".", "_")
        fused = readings(flat)[0]
        mine = fused.modules.index(name.removesuffix(".weight").replace(".", "_"))
        cut = split_rows(fused, outputs(source), WIDTH)
        assert cut is not None
        ranges = cut[mine] or ((0, outputs(source)),)
        wanted = torch.cat([torch.arange(begin, end) for begin, end in ranges])
        assert torch.equal(rows % STRIDE, wanted), name
        checked += 1
    assert checked > 20
