"""The modules of a base that an adapter can change."""

from dataclasses import dataclass

from lorapool_runtime.engine.diffusers.layers.adapted import Adapted


@dataclass(frozen=True)
class TargetModule:
    """One module, by its component and its dotted name in it."""

    component: str
    name: str
    module: Adapted

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.module.weight.shape)

    @property
    def is_text(self) -> bool:
        """Whether it is part of a text encoder."""
        return self.component.startswith("text_encoder")

    @property
    def has_bias(self) -> bool:
        return self.module.bias is not None

    def __str__(self) -> str:
        return f"{self.component} {self.name}"
