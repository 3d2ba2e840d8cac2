"""What can be seen in a picture: the background, which pixels belong to the shape, and which shape that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lorapool_models.pictures.outlines import OUTLINES, Field
from lorapool_models.pictures.palette import Pixels
from lorapool_models.pictures.scene import SIZE

Mask: TypeAlias = NDArray[np.bool_]
_BAND_PX: Final = 5
_SHADE: Final = (0.55, 1.12)
"""A background pixel may be darker (shadow) or lighter (light) than the background's colour by these factors."""
_FAINT: Final = 0.06
"""A difference in colour below this is no shape: 15 of 255."""


@dataclass(frozen=True)
class Seen:
    """The two colours as they are on the picture, and the shape's pixels."""

    ground: Pixels
    figure: Pixels
    mask: Mask


def look(picture: Pixels, inset_px: int = 0) -> Seen:
    """Tell figure from ground; the ground is what runs along the border, `inset_px` inside of it."""
    ground = np.median(picture[border(inset_px)], axis=0).astype(np.float32)
    strange = _strangeness(picture, _row_by_row(picture, inset_px))
    strange[~_within(inset_px)] = 0
    limit = max(_FAINT, 0.6 * float(np.quantile(strange, 0.97)))
    chosen = strange >= min(limit, float(strange.max()))
    figure = np.median(picture[chosen], axis=0).astype(np.float32)
    return Seen(ground, figure, strange > max(_FAINT, 0.5 * float(np.median(strange[chosen]))))


def _within(inset_px: int) -> Mask:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    edge = np.minimum(np.minimum(rows, columns), SIZE - 1 - np.maximum(rows, columns))
    return np.asarray(edge >= inset_px, bool)


def border(inset_px: int) -> Mask:
    """The band of pixels where the background is sure to be seen."""
    return _within(inset_px) & ~_within(inset_px + _BAND_PX)


def _row_by_row(picture: Pixels, inset_px: int) -> Pixels:
    """The background as it is left and right of the shape: it may change from top to bottom."""
    band = slice(inset_px, inset_px + _BAND_PX)
    sides = np.concatenate([picture[:, band], picture[:, ::-1][:, band]], axis=1)
    return np.asarray(np.broadcast_to(np.median(sides, axis=1)[:, None], picture.shape), np.float32)


def _strangeness(picture: Pixels, ground: Pixels) -> Field:
    """How far each pixel's colour is from the ground's in any light that a shadow or a highlight could give."""
    bright = np.maximum((ground * ground).sum(-1), 1e-4)
    share = np.clip((picture * ground).sum(-1) / bright, *_SHADE)
    return np.asarray(np.linalg.norm(picture - share[..., None] * ground, axis=-1), np.float32)


@dataclass(frozen=True)
class ShapeFit:
    """The shape that covers a mask best, where it stands, and the share of overlap (intersection over union)."""

    shape: str
    centre: tuple[float, float]
    radius: float
    overlap: float


_STEP: Final = 2
_AT: Final = (np.arange(0, SIZE, _STEP) + _STEP / 2).astype(np.float32)


def fit(mask: Mask, grow_px: float = 0.0) -> ShapeFit:
    """Try every known shape where the mask's box says it should be, a little larger, smaller and moved.

    `grow_px` is how far the mask reaches beyond the shape (an ink line, a glow). A mask of hardly any pixel
    overlaps with nothing.
    """
    coarse = mask.reshape(SIZE // _STEP, _STEP, SIZE // _STEP, _STEP).mean((1, 3)) >= 0.5
    if coarse.sum() < 12:
        return ShapeFit(next(iter(OUTLINES)), (SIZE / 2, SIZE / 2), 6.0, 0.0)
    return max((_best_place(shape, coarse, grow_px) for shape in OUTLINES), key=lambda f: f.overlap)


def _best_place(shape: str, coarse: Mask, grow_px: float) -> ShapeFit:
    left, top, right, bottom = _box(coarse, grow_px)
    unit_left, unit_top, unit_right, unit_bottom = _BOXES[shape]
    wide = (right - left) / (unit_right - unit_left)
    high = (bottom - top) / (unit_bottom - unit_top)
    tried = []
    for radius in np.linspace(min(wide, high) * 0.94, max(wide, high) * 1.06, 6):
        x = (left + right) / 2 - radius * (unit_left + unit_right) / 2
        y = (top + bottom) / 2 - radius * (unit_top + unit_bottom) / 2
        for dx, dy in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)):
            centre = (float(x + dx), float(y + dy))
            overlap = _overlap(coarse, _ideal(shape, centre, float(radius), grow_px))
            tried.append(ShapeFit(shape, centre, float(radius), overlap))
    return max(tried, key=lambda f: f.overlap)


def _overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _ideal(shape: str, centre: tuple[float, float], radius: float, grow_px: float) -> Mask:
    columns, rows = (_on_unit_grid((_AT - c) / radius) for c in centre)
    return np.asarray(_DISTANCES[shape][np.ix_(rows, columns)] * radius < grow_px, bool)


def _on_unit_grid(at: Field) -> NDArray[np.intp]:
    """The nearest line of the grid on which the distances are known."""
    nearest = np.rint((at + _REACH) / (2 * _REACH) * (_LINES - 1))
    return np.asarray(np.clip(nearest, 0, _LINES - 1), np.intp)


def _box(coarse: Mask, grow_px: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the shape in pixels; the outermost of its pixels are left out, for stray ones."""
    rows, columns = np.nonzero(coarse)
    left, right = np.quantile(columns, (0.004, 0.996)) * _STEP
    top, bottom = np.quantile(rows, (0.004, 0.996)) * _STEP
    shrink = min(grow_px, (right - left) / 3, (bottom - top) / 3)
    return left + shrink, top + shrink, right + _STEP - shrink, bottom + _STEP - shrink


def _distances(shape: str) -> Field:
    grid = np.linspace(-_REACH, _REACH, _LINES, dtype=np.float32)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    return OUTLINES[shape](x, y)


def _unit_box(inside: Mask) -> tuple[float, float, float, float]:
    rows, columns = (np.nonzero(lines)[0] / (_LINES - 1) * 2 - 1 for lines in (inside.any(1), inside.any(0)))
    left, right = columns[[0, -1]] * _REACH
    top, bottom = rows[[0, -1]] * _REACH
    return float(left), float(top), float(right), float(bottom)


_REACH: Final = 1.6
"""How far the grid of known distances goes, in radii."""
_LINES: Final = 321
_DISTANCES: Final = {shape: _distances(shape) for shape in OUTLINES}
_BOXES: Final = {shape: _unit_box(distances < 0) for shape, distances in _DISTANCES.items()}
