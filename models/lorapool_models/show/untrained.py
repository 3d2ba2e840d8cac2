"""A stand-in with random weights of a fixed seed, in the layout of the trained model, until that is there.

Its pictures show nothing, but every adapter changes them plainly.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

from lorapool_models.adapters import lora
from lorapool_models.adapters.card import adapter_card
from lorapool_models.adapters.recipes import RECIPES
from lorapool_models.base import architecture
from lorapool_models.base.architecture import Size
from lorapool_models.base.card import base_card

SIZE: Final = Size(unet=(16, 32), text=(16, 32), vae=(8, 8, 16, 16), time=8)
NOTE: Final = "\n**A stand-in: these weights are random, of a fixed seed, and its pictures are noise.**\n"
ADAPTERS: Final = ("pixel", "outline", "night")


def write(root: Path, seed: int = 0) -> None:
    """The base and the adapters, each as a repository below the root."""
    architecture.save(_base(seed), root / architecture.NAME)
    (root / architecture.NAME / "README.md").write_text(base_card(NOTE))
    for i, name in enumerate(ADAPTERS):
        recipe = RECIPES[name]
        pipeline = _base(seed)
        lora.put_on(pipeline, recipe.network, seed=seed + i, random_up=2.0)
        folder = root / "adapters" / name
        lora.write(pipeline, recipe.network, folder)
        (folder / "README.md").write_text(adapter_card(recipe, NOTE))


def _base(seed: int) -> Any:
    with tempfile.TemporaryDirectory() as vocabulary:
        return architecture.make(Path(vocabulary), seed, SIZE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path("models/weights"))
    write(parser.parse_args().root)
