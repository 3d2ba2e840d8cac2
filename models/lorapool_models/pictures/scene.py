"""What a picture shows, and how it is drawn: a softly lit, slightly raised shape on a plain background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from lorapool_models.pictures.outlines import OUTLINES, Field
from lorapool_models.pictures.palette import PALETTE, Pixels, mix

SIZE: Final = 128
"""Pixels on each side."""
_WHITE: Final = np.ones(3, np.float32)
_LIGHT: Final = np.array([-0.48, -0.64, 0.60], np.float32)
"""Towards the light: from the upper left, out of the picture."""


@dataclass(frozen=True)
class Scene:
    """One shape on a background. The centre and the radius are in pixels."""

    shape: str
    colour: Pixels
    background: Pixels
    centre: tuple[float, float] = (SIZE / 2, SIZE / 2)
    radius: float = 38.0
    tilt_degrees: float = 0.0

    @classmethod
    def named(cls, shape: str, colour: str, background: str, **place: float) -> Scene:
        return cls(shape, PALETTE[colour], PALETTE[background], **place)  # type: ignore[arg-type]


def random_place(rng: np.random.Generator) -> dict[str, object]:
    """Where a shape stands: near the middle, a little larger or smaller, hardly tilted."""
    return {
        "centre": (SIZE / 2 + rng.uniform(-9, 9), SIZE / 2 + rng.uniform(-9, 9)),
        "radius": rng.uniform(33, 45),
        "tilt_degrees": rng.uniform(-5, 5),
    }


def distance(scene: Scene, shift: tuple[float, float] = (0, 0)) -> Field:
    """Pixels from each pixel's centre to the edge of the shape, negative inside; `shift` moves the shape."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    x = (columns - scene.centre[0] - shift[0]) / scene.radius
    y = (rows - scene.centre[1] - shift[1]) / scene.radius
    sin, cos = np.sin(np.deg2rad(scene.tilt_degrees)), np.cos(np.deg2rad(scene.tilt_degrees))
    turned_x, turned_y = cos * x + sin * y, cos * y - sin * x
    return np.asarray(OUTLINES[scene.shape](turned_x, turned_y) * scene.radius, np.float32)


def coverage(edge: Field) -> Field:
    """How much of each pixel the shape covers, 0..1: the antialiased mask."""
    return np.asarray(np.clip(0.5 - edge, 0, 1), np.float32)


def smooth(low: float, high: float, value: Field) -> Field:
    """0 below `low`, 1 above `high`, without a corner at either."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def backdrop(colour: Pixels) -> Pixels:
    """The background: its colour, lighter towards the light, darker in the far corner."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    away = np.hypot(columns - 0.36, rows - 0.28)
    lit = mix(np.broadcast_to(colour, (SIZE, SIZE, 3)), _WHITE, 0.13 * (1 - smooth(0.0, 0.75, away)))
    return np.asarray(lit * (1 - 0.16 * smooth(0.35, 1.0, away))[..., None], np.float32)


def shadow(scene: Scene) -> Field:
    """How much light the shape takes from the background, 0..1: a soft patch below and to the right."""
    return 0.34 * (1 - smooth(-7, 11, distance(scene, shift=(5, 8))))


def _relief(edge: Field, bevel_px: float) -> Field:
    """How the surface faces the light compared with a flat one: above 0 lit, below 0 turned away."""
    height = np.sqrt(1 - (1 - np.clip(-edge / bevel_px, 0, 1)) ** 2) * bevel_px * 0.55
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    return np.asarray((-slope_x * _LIGHT[0] - slope_y * _LIGHT[1] + _LIGHT[2]) / length - _LIGHT[2], np.float32)


def body(scene: Scene, edge: Field) -> Pixels:
    """The shape's surface, as if it filled the picture: a raised rim, lit from the upper left."""
    relief = _relief(edge, bevel_px=10)
    rows = np.mgrid[0:SIZE, 0:SIZE][0].astype(np.float32)
    fall = np.clip((rows - scene.centre[1]) / scene.radius, -1, 1)
    lit = np.clip(0.75 * relief - 0.09 * fall, 0, 1)
    dim = np.clip(-0.6 * relief + 0.09 * fall, 0, 1)
    surface = mix(np.broadcast_to(scene.colour, (SIZE, SIZE, 3)), _WHITE, lit)
    return mix(surface, scene.colour * 0.35, dim)


def draw(scene: Scene) -> Pixels:
    """The picture that the base model learns."""
    edge = distance(scene)
    ground = backdrop(scene.background) * (1 - shadow(scene))[..., None]
    return np.clip(mix(ground, body(scene, edge), coverage(edge)), 0, 1)
