"""The modules of a base that an adapter can change."""

from dataclasses import dataclass
from math import prod

from torch import nn

from lorapool_api.wire.weighting.blocks import BlockTable
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, adapt
from lorapool_runtime.engine.diffusers.layers.blocks import Block, text_block, unet_blocks
from lorapool_runtime.engine.diffusers.packed.weights import is_packed, shape_of


@dataclass(frozen=True)
class TargetModule:
    """One module, by its component and its dotted name in it.

    Attributes:
        block: of the base's blocks; None: it is part of none, or the base has none.
    """

    component: str
    name: str
    module: Adapted
    block: Block | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self.module)

    @property
    def elements(self) -> int:
        """Of the weight, packed or not."""
        return prod(self.shape)

    @property
    def is_packed(self) -> bool:
        """Whether the weight is kept in fewer bits."""
        return is_packed(self.module.weight)

    @property
    def is_text(self) -> bool:
        """Whether it is part of a text encoder."""
        return self.component.startswith("text_encoder")

    @property
    def has_bias(self) -> bool:
        return self.module.bias is not None

    def strength(self, scale: float | Weighting) -> float:
        """How strongly an adapter of that scale counts here; of one that goes by step, at the first."""
        if not isinstance(scale, Weighting):
            return scale
        strength = scale.text if self.is_text else scale.first
        return strength * self._weight(scale)

    def is_left_out(self, scale: float | Weighting) -> bool:
        """Whether its block counts nothing, whatever the step."""
        return isinstance(scale, Weighting) and self._weight(scale) == 0

    def _weight(self, scale: Weighting) -> float:
        return 1.0 if scale.blocks is None or self.block is None else self.block.weight(scale.blocks)

    def __str__(self) -> str:
        return f"{self.component} {self.name}"


def adapted_modules(component: str, model: nn.Module, table: BlockTable | None) -> list[TargetModule]:
    """All modules of a component that adapters can change, made ready for it. `table`: of the UNet's blocks."""
    found = [(name, made) for name, module in list(model.named_modules()) if (made := adapt(module)) is not None]
    if component == "unet":
        blocks = unet_blocks(table, [name for name, _ in found])
        return [TargetModule(component, name, module, blocks.get(name)) for name, module in found]
    return [TargetModule(component, name, module, text_block(table)) for name, module in found]
