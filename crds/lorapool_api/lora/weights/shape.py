"""Kinds of networks, and what the parts of one module say of the weight that they change."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Network(StrEnum):
    """Kinds of change."""

    LORA = "lora"
    DORA = "dora"
    LOHA = "loha"
    LOKR = "lokr"
    FULL = "full"
    """The difference itself: `diff` of LyCORIS, with that of the bias in `diff_b`."""
    GLORA = "glora"
    OFT = "oft"
    """Blocks that turn the rows of a weight, as LyCORIS' diag-OFT has them."""
    BOFT = "boft"
    PEFT_OFT = "peft-oft"
    """Blocks that turn the inputs of a weight, as PEFT's OFT has them."""
    PEFT_BOFT = "peft-boft"
    VERA = "vera"
    """Factors of a pair of projections that all modules of a file share, as PEFT has them."""
    IA3 = "ia3"
    """A factor for each output or each input of a Linear, as PEFT has them."""


OF_THE_WEIGHT: Final = frozenset(
    {Network.GLORA, Network.OFT, Network.BOFT, Network.PEFT_OFT, Network.PEFT_BOFT, Network.IA3}
)
"""Networks whose change depends on the weight that it changes."""
TURNED_INPUTS: Final = frozenset({Network.PEFT_OFT})
"""Rotations of the inputs: PEFT's own code disagrees with itself on kernels larger than 1 x 1."""
CONFIGURED: Final = frozenset({Network.PEFT_OFT})
"""Networks of which PEFT's configuration says what the weights mean."""
_WITHOUT_SCALE: Final = frozenset(
    {Network.OFT, Network.BOFT, Network.PEFT_OFT, Network.PEFT_BOFT, Network.IA3, Network.VERA}
)


@dataclass(frozen=True, slots=True)
class WeightShape:
    """The change of one weight.

    Attributes:
        rank: 0 where the parts have no rank of their own (a full LoKr, a full difference); of a rotation its blocks'
            size, which its cost depends on.
        outputs: rows of the weight; 0 where factors or a rotation of the inputs fit any.
        columns: the weight's other sides multiplied: inputs, and those of the kernel; 0 where a rotation or factors of
            the outputs fit any, and where one block of PEFT's OFT turns any number of inputs that it divides.
        inputs: None where the parts do not tell inputs from kernel.
        kernel: (height, width) where it is larger than 1 x 1.
        scaled_inputs: how many lengths a `dora_scale` has that is of the inputs, as LyCORIS may write it; None where
            DoRA's lengths are of the outputs, or there are none.
        most_inputs: of a Linear, where a shared projection is cut to what the base has; None: as above.
    """

    network: Network
    rank: int
    outputs: int
    columns: int
    inputs: int | None
    kernel: tuple[int, int] | None = None
    scaled_inputs: int | None = None
    most_inputs: int | None = None

    @property
    def has_scale(self) -> bool:
        """Whether alpha / rank scales the change: a rotation's alpha is a bound, factors have none."""
        return self.network not in _WITHOUT_SCALE
