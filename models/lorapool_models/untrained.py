"""A stand-in with random weights of a fixed seed, in the layout of the trained model, until that is there.

Its pictures show nothing, but every adapter changes them plainly.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

from lorapool_models import base, cards, lora
from lorapool_models.base import Size
from lorapool_models.recipes import RECIPES

SIZE: Final = Size(unet=(16, 32), text=(16, 32), vae=(8, 8, 16, 16), time=8)
NOTE: Final = "\n**A stand-in: these weights are random, of a fixed seed, and its pictures are noise.**\n"
ADAPTERS: Final = ("pixel", "outline", "night")


def write(root: Path, seed: int = 0) -> None:
    """The base and the adapters, each as a repository below the root."""
    base.save(_base(seed), root / base.NAME)
    (root / base.NAME / "README.md").write_text(cards.base(NOTE))
    for i, name in enumerate(ADAPTERS):
        recipe = RECIPES[name]
        pipeline = _base(seed)
        lora.put_on(pipeline, recipe.network, seed=seed + i, random_up=2.0)
        folder = root / "adapters" / name
        lora.write(pipeline, recipe.network, folder)
        (folder / "README.md").write_text(cards.adapter(recipe, NOTE))


def _base(seed: int) -> Any:
    with tempfile.TemporaryDirectory() as vocabulary:
        return base.make(Path(vocabulary), seed, SIZE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path("models/weights"))
    write(parser.parse_args().root)
