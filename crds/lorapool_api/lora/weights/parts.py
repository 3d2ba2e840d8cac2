"""Shapes of a module's parts, and how they are named where they are refused."""

from collections.abc import Mapping

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError

Shape = tuple[int, ...]
Parts = Mapping[str, Shape]
"""The shape of each part of a module, by the names of `layouts.keys`."""


def shape_of(parts: Parts, part: str) -> Shape:
    """Raises: FactsError (`InvalidWeights`) where the part is missing."""
    if part not in parts:
        raise invalid(f"its {part} part is missing")
    return parts[part]


def by_sides(shape: Shape) -> str:
    """The shape for a message."""
    return " x ".join(map(str, shape)) or "()"


def invalid(message: str) -> FactsError:
    return FactsError(Reason.INVALID_WEIGHTS, message)
