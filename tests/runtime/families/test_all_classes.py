"""Every pipeline of diffusers that makes pictures from text is served or refused, by its name."""

import inspect
from pathlib import Path
from typing import Any, Final

import diffusers

from lorapool_runtime.engine.diffusers.families.refused import REFUSED
from lorapool_runtime.engine.diffusers.families.table import FAMILIES, SDXL_REFINER

PAGE: Final = Path(__file__).parents[3] / "docs" / "models.md"
# Ways to sample a family that is served, or to give it more than a prompt: a repository names the family's own class.
WAYS: Final = (
    "PAG",
    "Control",
    "Adapter",
    "GLIGEN",
    "SAG",
    "LDM3D",
    "Panorama",
    "Paradigms",
    "ModelEditing",
    "Pix2PixZero",
    "UnCLIP",
    "Semantic",
    "KleinKV",
    "Inpaint",
)


def from_text() -> set[str]:
    """Names of classes whose call takes a prompt and a height, no number of frames, and asks for nothing else."""
    found = set()
    for name in dir(diffusers):
        kind: Any = getattr(diffusers, name) if name.endswith("Pipeline") else None
        if not inspect.isclass(kind) or not kind.__module__.startswith("diffusers.pipelines."):
            continue
        known = inspect.signature(kind.__call__).parameters
        asked = {n for n, p in known.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
        if {"prompt", "height"} <= known.keys() and "num_frames" not in known and asked <= {"self", "prompt"}:
            found.add(name)
    return found


def served() -> set[str]:
    families = [*FAMILIES, SDXL_REFINER, *(f.distilled for f in FAMILIES if f.distilled)]
    return {name for family in families for name in family.pipelines.values()}


def test_every_pipeline_that_makes_pictures_from_text_is_known() -> None:
    others = from_text() - served()
    ways = {name for name in others - REFUSED.keys() if any(way in name for way in WAYS)}
    assert others - REFUSED.keys() - ways == set(), "a new one: a row of the table, or a reason why not"
    assert not served() & REFUSED.keys()


def test_the_page_on_models_names_what_is_refused() -> None:
    page = PAGE.read_text()
    assert [name for name in REFUSED if f"`{name}`" not in page] == []
