"""All places for adapters in a base, and switching between stacks by setting pointers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lorapool_api.fit import flat_name
from lorapool_runtime.layers.adapted import Adapted, Branch, adapt, put_in_force


@dataclass(frozen=True)
class Place:
    """A module that an adapter can change."""

    component: str
    name: str
    module: Adapted

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.module.weight.shape)


@dataclass(frozen=True)
class Pair:
    """A low-rank pair for one place; `scale` is alpha / rank."""

    place: Place
    down: torch.Tensor
    up: torch.Tensor
    scale: float


class Switchboard:
    """Wraps the modules of a base once. Only the engine's thread switches."""

    def __init__(self, components: Mapping[str, nn.Module]) -> None:
        self._places = {
            (component, flat_name(name)): Place(component, name, adapted)
            for component, model in components.items()
            for name, module in list(model.named_modules())
            if (adapted := adapt(module)) is not None
        }
        self._in_use: list[Adapted] = []

    def find(self, component: str, module: str) -> Place | None:
        """The place of that name, however its layout writes it."""
        return self._places.get((component, flat_name(module)))

    def modules(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """component -> dotted name -> shape of the weight."""
        named: dict[str, dict[str, tuple[int, ...]]] = {}
        for place in self._places.values():
            named.setdefault(place.component, {})[place.name] = place.shape
        return named

    def switch(self, stack: Sequence[tuple[Iterable[Pair], float]]) -> None:
        """Put exactly these adapters, each with its strength, in force; () is the bare base."""
        wanted: dict[int, tuple[Adapted, list[Branch]]] = {}
        for pairs, strength in stack:
            for pair in pairs:
                module = pair.place.module
                branch = Branch(pair.down, pair.up, pair.scale * strength)
                wanted.setdefault(id(module), (module, []))[1].append(branch)
        self.clear()
        self._in_use = [module for module, _ in wanted.values()]
        for module, branches in wanted.values():
            put_in_force(module, tuple(branches))

    def clear(self) -> None:
        """The bare base."""
        for module in self._in_use:
            put_in_force(module, ())
        self._in_use = []
