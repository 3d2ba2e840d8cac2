"""The picture of the stub engine: colours from everything that went in, and the same in words."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any, Final

from PIL import Image, ImageDraw

from lorapool_api.wire.weighting.scale import Weighting, scale_text
from lorapool_runtime.engine.contract import Recipe

Scaled = Sequence[tuple[str, float | Weighting]]
_GRID: Final = 8
_MARGIN: Final = 8
_CHARACTER_WIDTH: Final = 6


def draw(label: str, recipe: Recipe, adapters: Scaled, seed: int) -> Image.Image:
    """A mosaic in colours that the whole input decides, a band per adapter, and a text.

    Args:
        adapters: (identity of the file, scale); not its name: the same file makes the same picture under any.
    """
    plain = asdict(replace(recipe, start=None, controls=(), masks=()))
    sent: dict[str, Any] = {"start": _start(recipe), "controls": _controls(recipe)}
    if recipe.masks:
        sent["masks"] = [mask and sha256(mask.tobytes()).hexdigest() for mask in recipe.masks]
    what = {**plain, **sent, "seed": seed, "images": 1, "base": label, "adapters": _scaled(adapters)}
    digest = sha256(json.dumps(what, sort_keys=True).encode()).digest()
    picture = _mosaic(digest).resize((recipe.width, recipe.height), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    _bands(pen, recipe, adapters)
    _words(pen, recipe, _caption(label, recipe, adapters, seed))
    return picture


def _scaled(adapters: Scaled) -> list[tuple[str, Any]]:
    """In JSON."""
    return [(key, scale.model_dump() if isinstance(scale, Weighting) else scale) for key, scale in adapters]


def _controls(recipe: Recipe) -> list[list[str | float]]:
    """What pictures that control the result have to say."""
    return [[c.name, c.scale, c.start, c.end, sha256(c.image.tobytes()).hexdigest()] for c in recipe.controls]


def _start(recipe: Recipe) -> list[str | float]:
    """What a picture to begin with has to say."""
    if recipe.start is None:
        return []
    pictures = (recipe.start.image, recipe.start.mask, *recipe.start.beside)
    return [recipe.start.strength, *(sha256(p.tobytes()).hexdigest() for p in pictures if p is not None)]


def _mosaic(digest: bytes) -> Image.Image:
    """8 x 8 tiles; dark, so that the words can be read on them."""
    tiles = b"".join(sha256(digest + bytes([i])).digest() for i in range(_GRID * _GRID * 3 // 32))
    return Image.frombytes("RGB", (_GRID, _GRID), bytes(b // 2 for b in tiles))


def _bands(pen: ImageDraw.ImageDraw, recipe: Recipe, files: Scaled) -> None:
    height = max(recipe.height // 32, 2)
    for i, (identity, scale) in enumerate(files):
        colour = sha256(f"{identity} {scale}".encode()).digest()[:3]
        top = recipe.height - (i + 1) * height
        pen.rectangle((0, top, recipe.width, top + height - 1), fill=tuple(colour))


def _words(pen: ImageDraw.ImageDraw, recipe: Recipe, lines: Sequence[str]) -> None:
    columns = (recipe.width - 2 * _MARGIN) // _CHARACTER_WIDTH
    if columns >= _CHARACTER_WIDTH:
        wrapped = [part for line in lines for part in textwrap.wrap(line, columns) or [""]]
        # The built-in font knows Latin-1 only.
        text = "\n".join(wrapped).encode("latin-1", "replace").decode("latin-1")
        pen.multiline_text((_MARGIN, _MARGIN), text, fill="white")


def _caption(label: str, recipe: Recipe, adapters: Scaled, seed: int) -> tuple[str, ...]:
    stack = [f"+ {identity[:12]} x {scale_text(scale)}" for identity, scale in adapters]
    return (label, *stack, f"seed {seed}, {recipe.steps} steps", "", recipe.prompt[:300])
