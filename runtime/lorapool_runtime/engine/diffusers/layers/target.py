"""The modules of a base that an adapter can change."""

from dataclasses import dataclass
from math import prod

from lorapool_runtime.engine.diffusers.layers.adapted import Adapted
from lorapool_runtime.engine.diffusers.packed.weights import is_packed, shape_of


@dataclass(frozen=True)
class TargetModule:
    """One module, by its component and its dotted name in it."""

    component: str
    name: str
    module: Adapted

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

    def __str__(self) -> str:
        return f"{self.component} {self.name}"
