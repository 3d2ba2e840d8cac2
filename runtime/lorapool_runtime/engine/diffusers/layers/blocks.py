"""Which block of a UNet each of its modules is in.

diffusers has `down_blocks`, `mid_block` and `up_blocks`, each of several residual layers; a layer is a block of the
original code, with the attention behind it. A downsampler is a block of its own, an upsampler is part of its level's
last one, and the first convolution is `IN00`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lorapool_api.wire.weighting.blocks import BASE, MID, Blocks, BlockTable, block_in, block_out

_PART: Final = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.")
_RESNETS: Final = "resnets"


@dataclass(frozen=True)
class Block:
    """One block of a base, in the lists of its family."""

    table: BlockTable
    name: str

    def weight(self, blocks: Blocks) -> float:
        """Raises: ValueError for blocks of another family. A block that no list of the family has counts 0."""
        return self.table.weights(blocks).get(self.name, 0.0)


def text_block(table: BlockTable | None) -> Block | None:
    """What text encoders are."""
    return None if table is None else Block(table, BASE)


def unet_blocks(table: BlockTable | None, modules: Iterable[str]) -> Mapping[str, Block]:
    """The block of each of a UNet's modules, by dotted names; what is part of none is missing."""
    if table is None:
        return {}
    names = list(modules)
    found = [(name, match) for name in names if (match := _PART.match(name))]
    # (way, level) -> how many residual layers, and the levels with a downsampler.
    layers: dict[tuple[str, int], int] = {}
    smaller: set[int] = set()
    for _, match in found:
        way, level, part, number = match[1], int(match[2]), match[3], int(match[4])
        if part == _RESNETS:
            layers[way, level] = max(layers.get((way, level), 0), number + 1)
        elif part == "downsamplers":
            smaller.add(level)
    blocks = {name: Block(table, _number(match, layers, smaller)) for name, match in found}
    blocks |= {name: Block(table, MID) for name in names if name.startswith("mid_block.")}
    return blocks | {name: Block(table, block_in(0)) for name in names if name == "conv_in"}


def _number(match: re.Match[str], layers: Mapping[tuple[str, int], int], smaller: set[int]) -> str:
    way, level, part, number = match[1], int(match[2]), match[3], int(match[4])
    before = sum(count for (of, other), count in layers.items() if of == way and other < level)
    last = layers.get((way, level), 1) - 1
    if way == "up":
        return block_out(before + (last if part == "upsamplers" else number))
    before += 1 + sum(1 for other in smaller if other < level)
    return block_in(before + (last + 1 if part == "downsamplers" else number))
