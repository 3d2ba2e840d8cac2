"""The pictures that models learn from, and the prompts that name them: drawn once, kept as bytes in a cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lorapool_models.pictures.outlines import OUTLINES, SHAPES
from lorapool_models.pictures.palette import COLOURS, Pixels
from lorapool_models.pictures.scene import Scene, draw, random_place
from lorapool_models.pictures.styles import STYLES

Bytes: TypeAlias = NDArray[np.uint8]
"""Pictures as N x height x width x 3."""
_ALL: Final = tuple(OUTLINES)


def cache_folder() -> Path:
    """Where pictures and checkpoints are kept between runs."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = root / "lorapool" / "training"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def prompt_of(shape: str, colour: str, background: str) -> str:
    """The words for a picture: `a red circle on a blue background`."""
    return f"{_article(colour)} {colour} {shape} on {_article(background)} {background} background"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def random_scene(rng: np.random.Generator, shapes: Sequence[str] = tuple(SHAPES)) -> tuple[Scene, str]:
    """A shape in two different colours somewhere near the middle, and its prompt."""
    shape = shapes[int(rng.integers(len(shapes)))]
    colour, background = (COLOURS[i] for i in rng.choice(len(COLOURS), 2, replace=False))
    scene = Scene.named(shape, colour, background, **random_place(rng))  # type: ignore[arg-type]
    return scene, prompt_of(shape, colour, background)


def of_every_kind(count: int, seed: int) -> Bytes:
    """For the autoencoder: half as the base draws them, half in some style, concepts among the shapes."""

    # Hard edges where a smooth picture has none are what is learned last: such pictures come twice as often.
    styles = [*STYLES.values(), STYLES["pixel"]]

    def one(rng: np.random.Generator) -> Pixels:
        style = draw if rng.random() < 0.5 else styles[rng.integers(len(styles))]
        return style(random_scene(rng, _ALL)[0])

    return _kept(f"every-kind-{count}-{seed}", lambda: _drawn(one, count, seed))


def captioned(count: int, seed: int) -> tuple[Bytes, list[str]]:
    """For the base model: its own pictures with their prompts."""
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(count)]
    pictures = _kept(f"base-{count}-{seed}", lambda: np.stack([as_bytes(draw(scene)) for scene, _ in scenes]))
    return pictures, [prompt for _, prompt in scenes]


def as_bytes(picture: Pixels) -> Bytes:
    return (picture * 255 + 0.5).astype(np.uint8)


def _drawn(one: Callable[[np.random.Generator], Pixels], count: int, seed: int) -> Bytes:
    rng = np.random.default_rng(seed)
    return np.stack([as_bytes(one(rng)) for _ in range(count)])


def _kept(name: str, make: Callable[[], Bytes]) -> Bytes:
    path = cache_folder() / "pictures" / f"{name}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = make()
        partial = path.with_suffix(".partial.npy")
        np.save(partial, pictures)
        partial.replace(path)
    kept: Bytes = np.load(path, mmap_mode="r")
    return kept
