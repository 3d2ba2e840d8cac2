"""Shapes as signed distances: negative inside, zero on the edge, in units of the shape's own radius.

Distances make everything else simple: antialiased masks, soft shadows, bevels and glows are all
functions of the distance to the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]
Point: TypeAlias = tuple[float, float]


def _polygon(x: Field, y: Field, corners: Sequence[Point]) -> Field:
    """The distance to the nearest edge; the sign by counting how often a ray to the right crosses an edge."""
    nearest = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (x - ax - along * ex) ** 2 + (y - ay - along * ey) ** 2)
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ex * (y - ay) / ey + ax)
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def _around(count: int, radii: Sequence[float], start_degrees: float) -> list[Point]:
    angles = np.deg2rad(start_degrees + np.arange(count) * 360 / count)
    return [(float(np.cos(a)) * radii[i % len(radii)], float(np.sin(a)) * radii[i % len(radii)])
            for i, a in enumerate(angles)]  # fmt: skip


def circle(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - np.float32(0.95)


def square(x: Field, y: Field) -> Field:
    dx, dy = np.abs(x) - 0.68, np.abs(y) - 0.68
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0) - 0.14, np.float32)


def triangle(x: Field, y: Field) -> Field:
    return _polygon(x, y - 0.16, _around(3, [0.96], -90)) - np.float32(0.12)


def star(x: Field, y: Field) -> Field:
    return _polygon(x, y - 0.05, _around(10, [0.98, 0.46], -90)) - np.float32(0.08)


def cross(x: Field, y: Field) -> Field:
    arm, reach = 0.24, 0.86
    upright = [(arm, -reach), (arm, -arm), (reach, -arm)]
    corners = [*upright, *((x, -y) for x, y in reversed(upright)), *((-x, -y) for x, y in upright),
               *((-x, y) for x, y in reversed(upright))]  # fmt: skip
    return _polygon(x, y, corners) - np.float32(0.09)


def ring(x: Field, y: Field) -> Field:
    return np.abs(np.hypot(x, y) - np.float32(0.68)) - np.float32(0.29)


@cache
def _heart_corners() -> tuple[Point, ...]:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return tuple((float(a) / 17.5, float(-b) / 17.5) for a, b in zip(x, y, strict=True))


def heart(x: Field, y: Field) -> Field:
    return _polygon(x, y + 0.1, _heart_corners()) - np.float32(0.05)


def crescent(x: Field, y: Field) -> Field:
    bite = np.float32(0.76) - np.hypot(x - 0.46, y + 0.18)
    return np.asarray(np.maximum(np.hypot(x, y) - np.float32(0.97), bite), np.float32)


Outline: TypeAlias = Callable[[Field, Field], Field]
SHAPES: Final[dict[str, Outline]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "ring": ring,
}
"""What the base model learns."""
CONCEPTS: Final[dict[str, Outline]] = {"heart": heart, "crescent": crescent}
"""What only an adapter knows."""
OUTLINES: Final = SHAPES | CONCEPTS
