"""The blocks of a UNet, numbered as in the original code of Stable Diffusion, and a weight for each: pure.

Lists of weights and the names of presets are those of sd-webui-lora-block-weight: `BASE` is the text encoders, `IN`
the way down, `MID` the middle, `OUT` the way up. A short list weighs the blocks that a LoRA of attentions changes, a
long one all of them; what a list does not weigh counts 0. What lies outside of all blocks (time embeddings, the last
convolution) is never weighed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

BASE: Final = "BASE"
MID: Final = "MID"
PRESETS: Final = ("NONE", "ALL", "INS", "IND", "INALL", "MIDD", "OUTD", "OUTS", "OUTALL", "ALL0.5")
_KEPT: Final = 256

# A preset, or a list of weights.
Blocks = str | tuple[float, ...]


@dataclass(frozen=True)
class BlockTable:
    """The blocks of one family.

    Attributes:
        family: in words.
        short, long: the blocks that the two lists weigh, in their order.
        deep_in: the first `IN` that is deep: near the middle, of few large cells.
        shallow_out: the first `OUT` that is not.
    """

    family: str
    short: tuple[str, ...]
    long: tuple[str, ...]
    deep_in: int
    shallow_out: int

    @property
    def lengths(self) -> tuple[int, int]:
        """Of its lists."""
        return len(self.short), len(self.long)

    def weights(self, blocks: Blocks) -> Mapping[str, float]:
        """The weight of each block. Raises: ValueError for a list of another family, or an unknown preset."""
        return _weights(self, blocks)

    def preset(self, name: str) -> Mapping[str, float]:
        """Raises: ValueError: there is none of that name."""
        deep_in = {block_in(n) for n in range(self.deep_in, len(self.long))}
        shallow_out = {block_out(n) for n in range(self.shallow_out, len(self.long))}
        ways_in = {name for name in self.long if name.startswith("IN")}
        ways_out = {name for name in self.long if name.startswith("OUT")}
        chosen: dict[str, set[str]] = {
            "NONE": set(),
            "ALL": set(self.long),
            "INS": {BASE} | (ways_in - deep_in),
            "IND": {BASE} | (ways_in & deep_in),
            "INALL": {BASE} | ways_in,
            "MIDD": {BASE, MID} | (ways_in & deep_in) | (ways_out - shallow_out),
            "OUTD": {BASE} | (ways_out - shallow_out),
            "OUTS": {BASE} | (ways_out & shallow_out),
            "OUTALL": {BASE} | ways_out,
            "ALL0.5": set(self.long),
        }
        if name not in chosen:
            raise ValueError(f"there is no preset {name[:32]!r}: {', '.join(PRESETS)}")
        weight = 0.5 if name == "ALL0.5" else 1.0
        return {block: weight if block in chosen[name] else 0.0 for block in self.long}


@lru_cache(_KEPT)
def _weights(table: BlockTable, blocks: Blocks) -> Mapping[str, float]:
    if isinstance(blocks, str):
        return MappingProxyType(table.preset(blocks))
    names = next((names for names in (table.short, table.long) if len(names) == len(blocks)), None)
    if names is None:
        short, long = table.lengths
        raise ValueError(f"blocks of {table.family} are {short} or {long} weights, not {len(blocks)}")
    said = dict(zip(names, blocks, strict=True))
    return MappingProxyType({block: said.get(block, 0.0) for block in table.long})


def block_in(number: int) -> str:
    """The name of a block on the way down."""
    return f"IN{number:02}"


def block_out(number: int) -> str:
    """The name of a block on the way up."""
    return f"OUT{number:02}"


def _of(ways_in: tuple[int, ...], ways_out: tuple[int, ...]) -> tuple[str, ...]:
    return (BASE, *map(block_in, ways_in), MID, *map(block_out, ways_out))


SD: Final = BlockTable(
    family="SD 1.x and 2.x",
    short=_of((1, 2, 4, 5, 7, 8), tuple(range(3, 12))),
    long=_of(tuple(range(12)), tuple(range(12))),
    deep_in=5,
    shallow_out=7,
)
# The extension has presets for SD 1.x alone. Here they mean of SDXL what they mean there: deep is its last level.
SDXL: Final = BlockTable(
    family="SDXL",
    short=_of((4, 5, 7, 8), tuple(range(6))),
    long=_of(tuple(range(9)), tuple(range(9))),
    deep_in=6,
    shallow_out=3,
)
# How long any list may be.
LENGTHS: Final = frozenset((*SD.lengths, *SDXL.lengths))
