"""Is a picture what its prompt asked for? Judged by its pixels; nothing is learned.

The reference is the drawing itself: what a picture shows is the scene that, drawn again, comes nearest to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lorapool_models.pictures.palette import PALETTE, Pixels
from lorapool_models.pictures.reading import Mask, border, fit, look
from lorapool_models.pictures.scene import Scene, distance, draw
from lorapool_models.pictures.styles import STYLES, Style

PLAIN: Final = "plain"
"""The base model's own style."""
_STYLES: Final[dict[str, Style]] = {PLAIN: draw, **STYLES}
_INSETS: Final = {"frame": 15, "watercolour": 15}
"""Pixels of border that are not background in a style."""
_GROWS: Final = {"outline": 5.0, "night": 6.0}
"""Pixels by which a shape reaches beyond its edge in a style: its ink line, its glow."""
_OVERLAP: Final = 0.7
_APART: Final = 0.12
_EDGE_PIXELS: Final = 200


@dataclass(frozen=True)
class PictureVerdict:
    """What a picture shows.

    `overlap` is intersection over union of its shape's pixels with the ideal shape; `apart` how far, on the shape,
    its pixels are on average from the scene drawn again (0..1): large when what it shows is no shape at all.
    """

    shape: str
    colour: str
    background: str
    overlap: float
    apart: float
    scene: Scene

    def shows(self, shape: str) -> bool:
        """Whether it is that shape, plainly."""
        return self.shape == shape and self.overlap >= _OVERLAP and self.apart <= _APART


def judge(picture: Pixels, style: str = PLAIN) -> PictureVerdict:
    """Read a picture that is known to be in a style. `picture` is 128 x 128 x 3 in 0..1."""
    inset, grow = _INSETS.get(style, 0), _GROWS.get(style, 0.0)
    seen = look(picture, inset)
    found = fit(seen.mask, grow)
    scene = Scene(found.shape, seen.figure, seen.ground, found.centre, found.radius)
    background = _nearest(picture, style, border(inset), lambda c: replace(scene, background=PALETTE[c]), PALETTE)
    scene = replace(scene, background=PALETTE[background])
    others = [name for name in PALETTE if name != background]
    on_shape = distance(scene) < grow
    colour = _nearest(picture, style, on_shape, lambda c: replace(scene, colour=PALETTE[c]), others)
    scene = replace(scene, colour=PALETTE[colour])
    apart = _apart(_STYLES[style](scene)[on_shape], picture[on_shape])
    return PictureVerdict(found.shape, colour, background, found.overlap, apart, scene)


def style_of(picture: Pixels, among: Iterable[str] = tuple(_STYLES), read_as: str = PLAIN) -> str:
    """The style in which the scene that the picture shows, drawn again, is nearest to the picture."""
    scene = judge(picture, read_as).scene
    return min(among, key=lambda style: _apart(_STYLES[style](scene), picture))


def effect(picture: Pixels, style: str) -> float:
    """How far a picture has gone from plain (0) to the style (1), in the pixels that tell the two apart."""
    scene = judge(picture, style).scene
    plain = draw(scene)
    way = _STYLES[style](scene) - plain
    return float(((picture - plain) * way).sum() / max(float((way * way).sum()), 1e-6))


def crispness(picture: Pixels) -> float:
    """How steep its edges are beside those of the scene drawn again (1): what too few steps leave is blurred."""
    return _steepness(picture) / _steepness(draw(judge(picture).scene))


def _steepness(picture: Pixels) -> float:
    """The difference between neighbours, where it is largest: as many places as a shape's edge has."""
    between = np.abs(np.diff(picture, axis=1)).max(axis=-1)
    return float(np.sort(between, axis=None)[-_EDGE_PIXELS:].mean())


def _nearest(picture: Pixels, style: str, where: Mask, scene_in: Callable[[str], Scene], colours: Iterable[str]) -> str:
    """The colour with which the scene, drawn again, comes nearest to the picture at those pixels."""
    return min(colours, key=lambda name: _apart(_STYLES[style](scene_in(name))[where], picture[where]))


def _apart(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a - b).mean())
