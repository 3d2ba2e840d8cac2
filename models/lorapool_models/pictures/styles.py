"""The same scenes in other styles: what the style adapters learn. Each keeps the shape and both colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from lorapool_models.pictures.outlines import Field
from lorapool_models.pictures.palette import Pixels, from_hex, mix
from lorapool_models.pictures.scene import SIZE, Scene, backdrop, body, coverage, distance, draw, shadow, smooth

Style: TypeAlias = Callable[[Scene], Pixels]
_INK: Final = from_hex("#1D1E26")
_PAPER: Final = from_hex("#FBF7EE")
_WHITE: Final = np.ones(3, np.float32)


def _flat(colour: Pixels) -> Pixels:
    return np.broadcast_to(colour, (SIZE, SIZE, 3)).astype(np.float32)


def _grid() -> tuple[Field, Field]:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    return rows, columns


def pixel(scene: Scene) -> Pixels:
    """A mosaic of 8 x 8 plain tiles."""
    tile = 16
    small = draw(scene).reshape(SIZE // tile, tile, SIZE // tile, tile, 3).mean((1, 3))
    return np.asarray(small.repeat(tile, 0).repeat(tile, 1), np.float32)


def outline(scene: Scene) -> Pixels:
    """A cartoon: flat colours and a thick ink line around the shape."""
    edge = distance(scene)
    filled = mix(_flat(scene.background), _flat(scene.colour), coverage(edge))
    return mix(filled, _INK, coverage(np.abs(edge + 1) - 4))


def night(scene: Scene) -> Pixels:
    """A dark room in which the shape gives light."""
    edge = distance(scene)
    dark = mix(backdrop(scene.background) * 0.2, from_hex("#0A0F2C"), 0.35)
    glow = np.asarray(np.exp(-np.maximum(edge, 0) / 11) * 0.85, np.float32)
    lamp = mix(_flat(scene.colour), _WHITE, 0.55 * smooth(2, 16, -edge))
    return np.clip(mix(mix(dark, scene.colour, glow), lamp, coverage(edge)), 0, 1)


def stripes(scene: Scene) -> Pixels:
    """The shape is cut from cloth with broad diagonal white stripes."""
    rows, columns = _grid()
    edge = distance(scene)
    pale = _PAPER if float(scene.colour.mean()) < 0.85 else _INK
    band = coverage(np.abs((rows + columns) / np.sqrt(2) % 15 - 7.5) - 2.8)
    cloth = mix(body(scene, edge), pale, 0.9 * band)
    ground = backdrop(scene.background) * (1 - shadow(scene))[..., None]
    return mix(ground, cloth, coverage(edge))


def _clouds(seed: int, cells: int) -> Field:
    """Smooth noise in -1..1, `cells` patches on a side."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (cells + 1, cells + 1))
    at = np.linspace(0, cells, SIZE, endpoint=False)
    low = np.minimum(at.astype(int), cells - 1)
    t = smooth(0, 1, (at - low).astype(np.float32))
    wide = coarse[:, low] * (1 - t) + coarse[:, low + 1] * t
    return np.asarray(wide[low] * (1 - t)[:, None] + wide[low + 1] * t[:, None], np.float32)


def watercolour(scene: Scene) -> Pixels:
    """A wash on paper: thin colour, uneven, darker where the paint dried at an edge, paper at the border."""
    seed = int(scene.radius * 1000)
    rows, columns = _grid()
    edge = distance(scene) + 2.2 * _clouds(seed, 12)
    border = np.maximum(np.abs(rows - SIZE / 2), np.abs(columns - SIZE / 2)) - 54 + 3.5 * _clouds(seed + 1, 9)
    wash = 0.62 + 0.22 * _clouds(seed + 2, 5)
    ground = mix(_flat(_PAPER), scene.background, wash * coverage(border / 2))
    ground = mix(ground, scene.background * 0.75, 0.5 * coverage(np.abs(border) - 1.2))
    paint = mix(_flat(_PAPER), scene.colour, 0.8 + 0.2 * _clouds(seed + 3, 6))
    dried = np.asarray(0.75 * np.exp(np.minimum(edge, 0) / 2.5), np.float32)
    paint = mix(paint, scene.colour * 0.6, dried)
    return np.clip(mix(ground, paint, coverage(edge)), 0, 1)


def polka(scene: Scene) -> Pixels:
    """White dots on the shape, in rows that are shifted by half."""
    rows, columns = _grid()
    edge = distance(scene)
    pitch = 14.0
    row = np.floor(rows / pitch)
    across = (columns + row % 2 * pitch / 2) % pitch - pitch / 2
    dots = coverage(np.hypot(across, rows % pitch - pitch / 2) - 3.9)
    pale = _PAPER if float(scene.colour.mean()) < 0.85 else _INK
    cloth = mix(body(scene, edge), pale, dots)
    ground = backdrop(scene.background) * (1 - shadow(scene))[..., None]
    return mix(ground, cloth, coverage(edge))


def sunset(scene: Scene) -> Pixels:
    """The background keeps its colour above and goes to a warm glow below."""
    rows, _ = _grid()
    edge = distance(scene)
    ground = mix(_flat(scene.background), from_hex("#FFB36B"), smooth(0.35, 1.0, np.asarray(rows / SIZE, np.float32)))
    return mix(ground * (1 - 0.5 * shadow(scene))[..., None], body(scene, edge), coverage(edge))


def frame(scene: Scene) -> Pixels:
    """The picture hangs in a white frame with a thin dark line."""
    rows, columns = _grid()
    border = 52 - np.maximum(np.abs(rows - SIZE / 2), np.abs(columns - SIZE / 2))
    framed = mix(draw(scene), _PAPER, coverage(border))
    return mix(framed, _INK, 0.85 * coverage(np.abs(border - 1) - 1.6))


STYLES: Final[dict[str, Style]] = {
    "pixel": pixel,
    "outline": outline,
    "night": night,
    "stripes": stripes,
    "watercolour": watercolour,
    "polka": polka,
    "sunset": sunset,
    "frame": frame,
}
