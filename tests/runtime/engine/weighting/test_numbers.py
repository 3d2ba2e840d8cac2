"""Which block each module of a UNet of diffusers is in: the numbers of the original code, for SD 1.x and for SDXL."""

from collections.abc import Iterator

import pytest

from lorapool_api.wire.weighting.blocks import SD, SDXL, BlockTable
from lorapool_runtime.engine.diffusers.layers.blocks import text_block, unet_blocks


def modules(levels: int, attentions: set[int]) -> Iterator[str]:
    """Names of a UNet with two layers a level on its way down; `attentions`: levels that have some."""
    yield from ("conv_in", "conv_out", "time_embedding.linear_1", "mid_block.attentions.0.proj_in")
    for i in range(levels):
        up = levels - 1 - i
        for way, count, level in (("down", 2, i), ("up", 3, up)):
            for n in range(count):
                yield f"{way}_blocks.{i}.resnets.{n}.conv1"
                if level in attentions:
                    yield f"{way}_blocks.{i}.attentions.{n}.transformer_blocks.0.attn1.to_q"
        if i < levels - 1:
            yield f"down_blocks.{i}.downsamplers.0.conv"
            yield f"up_blocks.{i}.upsamplers.0.conv"


SD_NUMBERS = {
    "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q": "IN02",
    "down_blocks.0.downsamplers.0.conv": "IN03",
    "down_blocks.2.attentions.0.transformer_blocks.0.attn1.to_q": "IN07",
    "down_blocks.2.downsamplers.0.conv": "IN09",
    "down_blocks.3.resnets.1.conv1": "IN11",
    "up_blocks.0.upsamplers.0.conv": "OUT02",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": "OUT03",
    "up_blocks.3.attentions.2.transformer_blocks.0.attn1.to_q": "OUT11",
    "mid_block.attentions.0.proj_in": "MID",
    "conv_in": "IN00",
}
SDXL_NUMBERS = {
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": "IN04",
    "down_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q": "IN08",
    "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": "OUT00",
    "up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_q": "OUT05",
    "up_blocks.2.resnets.2.conv1": "OUT08",
}


@pytest.mark.parametrize(
    ("table", "levels", "attentions", "numbers"),
    [
        pytest.param(SD, 4, {0, 1, 2}, SD_NUMBERS, id="sd"),
        pytest.param(SDXL, 3, {1, 2}, SDXL_NUMBERS, id="sdxl"),
    ],
)
def test_modules_are_in_the_blocks_of_the_original_code(
    table: BlockTable, levels: int, attentions: set[int], numbers: dict[str, str]
) -> None:
    found = unet_blocks(table, modules(levels, attentions))
    assert {name: found[name].name for name in numbers} == numbers
    # Each block of the long list has modules, and the short list has those with attention.
    assert {block.name for block in found.values()} == set(table.long) - {"BASE"}
    with_attention = {block.name for name, block in found.items() if ".attentions." in name}
    assert with_attention == set(table.short) - {"BASE"}
    assert found.keys() == set(modules(levels, attentions)) - {"conv_out", "time_embedding.linear_1"}


def test_text_encoders_are_the_base_of_a_list() -> None:
    block = text_block(SD)
    assert block is not None
    assert (block.weight("NONE"), block.weight("OUTALL")) == (0.0, 1.0)
    assert text_block(None) is None
    assert unet_blocks(None, modules(3, {1})) == {}
