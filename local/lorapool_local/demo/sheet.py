"""The contact sheet: a column for each model, a row for each prompt; many columns go into several bands."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

_PAPER: Final = (250, 249, 246)
_INK: Final = (32, 34, 40)
_FAINT: Final = (118, 122, 132)
_GAP: Final = 14
_MARGIN: Final = 28
_HEAD: Final = 58
_CAPTION: Final = 30

SheetColumn = tuple[str, str, Sequence[bytes]]
"""Title, subtitle, an encoded image for each prompt."""


def contact_sheet(
    prompts: Sequence[str], columns: Sequence[SheetColumn], target: Path, cell: int = 144, per_band: int = 7
) -> None:
    """Write a PNG.

    Args:
        prompts: one for each row.
        columns: in their order, from left to right, then in the next band.
        target: where the PNG goes.
        cell: pixels on each side of an image.
        per_band: most columns side by side.
    """
    bands = [columns[i : i + per_band] for i in range(0, len(columns), per_band)]
    band_height = _HEAD + len(prompts) * (cell + _CAPTION)
    width = 2 * _MARGIN + max(len(band) for band in bands) * (cell + _GAP) - _GAP
    sheet = Image.new("RGB", (width, 2 * _MARGIN + len(bands) * band_height - 8), _PAPER)
    for b, band in enumerate(bands):
        _band(sheet, _MARGIN + b * band_height, prompts, band, cell)
    sheet.save(target)


def _band(sheet: Image.Image, top: int, prompts: Sequence[str], columns: Sequence[SheetColumn], cell: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for c, (title, subtitle, images) in enumerate(columns):
        x = _MARGIN + c * (cell + _GAP)
        draw.text((x, top - 4), title, fill=_INK, font=_fitting(title, 20, cell))
        draw.text((x, top + 24), subtitle, fill=_FAINT, font=_fitting(subtitle, 13, cell))
        for r, encoded in enumerate(images):
            picture = Image.open(io.BytesIO(encoded)).convert("RGB")
            y = top + _HEAD + r * (cell + _CAPTION)
            sheet.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), (x, y))
    for r, prompt in enumerate(prompts):
        y = top + _HEAD + r * (cell + _CAPTION) + cell + 4
        draw.text((_MARGIN, y), prompt, fill=_FAINT, font=ImageFont.load_default(13))


def _fitting(text: str, size: int, width: int) -> Any:
    """The font in that size, or a smaller one in which the text is no wider than that."""
    while size > 8 and ImageFont.load_default(size).getlength(text) > width:
        size -= 1
    return ImageFont.load_default(size)
