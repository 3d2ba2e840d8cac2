"""The contact sheet: a column for each model, a row for each prompt."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

_PAPER: Final = (250, 249, 246)
_INK: Final = (32, 34, 40)
_FAINT: Final = (118, 122, 132)
_GAP: Final = 14
_MARGIN: Final = 28
_HEAD: Final = 58
_CAPTION: Final = 30


def contact_sheet(
    prompts: Sequence[str],
    columns: Sequence[tuple[str, str, Sequence[bytes]]],
    target: Path,
    cell: int = 192,
) -> None:
    """Write a PNG.

    Args:
        prompts: one for each row.
        columns: (title, subtitle, an encoded image for each prompt).
        target: where the PNG goes.
        cell: pixels on each side of an image.
    """
    width = 2 * _MARGIN + len(columns) * (cell + _GAP) - _GAP
    height = 2 * _MARGIN + _HEAD + len(prompts) * (cell + _CAPTION) - 8
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for c, (title, subtitle, images) in enumerate(columns):
        x = _MARGIN + c * (cell + _GAP)
        draw.text((x, _MARGIN - 4), title, fill=_INK, font=ImageFont.load_default(20))
        draw.text((x, _MARGIN + 24), subtitle, fill=_FAINT, font=ImageFont.load_default(13))
        for r, encoded in enumerate(images):
            y = _MARGIN + _HEAD + r * (cell + _CAPTION)
            picture = Image.open(io.BytesIO(encoded)).convert("RGB")
            sheet.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), (x, y))
    for r, prompt in enumerate(prompts):
        y = _MARGIN + _HEAD + r * (cell + _CAPTION) + cell + 4
        draw.text((_MARGIN, y), prompt, fill=_FAINT, font=ImageFont.load_default(13))
    sheet.save(target)
