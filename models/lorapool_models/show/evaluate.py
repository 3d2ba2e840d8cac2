"""The figures of the base and of each adapter: fixed prompts and seeds, judged by the pictures' pixels."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, TypeAlias

import diffusers
import numpy as np
import torch
import transformers
from diffusers import LCMScheduler, StableDiffusionXLPipeline
from rich.console import Console
from rich.progress import track

from lorapool_models.adapters import lora, pivotal
from lorapool_models.adapters.card import adapter_card
from lorapool_models.adapters.recipes import RECIPES, AdapterRecipe
from lorapool_models.base import architecture
from lorapool_models.base.card import base_card
from lorapool_models.base.denoiser import GUIDANCE, STEPS
from lorapool_models.base.training import threads_from_environment
from lorapool_models.pictures import corpus
from lorapool_models.pictures.judge import PLAIN, crispness, effect, judge
from lorapool_models.pictures.outlines import SHAPES
from lorapool_models.pictures.palette import COLOURS, Pixels

BASE_TARGETS: Final = {"shape": 0.90, "colour": 0.95, "background": 0.95}
_BATCH: Final = 10
FEW_STEPS: Final = 4
# In four steps of this scheduler the base's edges are not bad either; what the adapter has learned shows in fewer.
_FEWER_STEPS: Final = 2


@dataclass(frozen=True)
class Ask:
    """What a picture is asked to show."""

    shape: str
    colour: str
    background: str

    @property
    def prompt(self) -> str:
        return corpus.prompt_of(self.shape, self.colour, self.background)


@dataclass(frozen=True)
class Figures:
    """Shares of the pictures that are right; `effect` is 0 where a picture is plain, 1 in the adapter's style."""

    name: str
    shape: float
    colour: float
    background: float
    effect: float
    without: float
    """The effect in the base's pictures of the same prompts and seeds."""
    seconds: float


Draw: TypeAlias = Callable[[Sequence[str]], list[Pixels]]


def asks(count: int, shapes: Sequence[str] = tuple(SHAPES), seed: int = 0) -> list[Ask]:
    """Prompts in a fixed order: every shape as often as any other, colours by chance."""
    generator = np.random.default_rng(seed)
    pairs = [generator.choice(len(COLOURS), 2, replace=False) for _ in range(count)]
    return [Ask(shapes[i % len(shapes)], COLOURS[a], COLOURS[b]) for i, (a, b) in enumerate(pairs)]


def load(weights: Path) -> Any:
    pipeline = StableDiffusionXLPipeline.from_pretrained(weights / architecture.NAME)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def wear(pipeline: Any, recipe: AdapterRecipe, folder: Path) -> None:
    """Put a written adapter on the pipeline, with what else it needs: its new words, its scheduler."""
    if recipe.tokens:
        pivotal.read(pipeline, recipe.tokens, folder)
    lora.read(pipeline, recipe.network, folder)
    if recipe.few_steps:
        pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)


def drawing(pipeline: Any, few_steps: int = 0) -> Draw:
    """Pictures of prompts; the i-th prompt always has seed i. With `few_steps`, so many of them and no guidance."""

    def draw(prompts: Sequence[str]) -> list[Pixels]:
        made: list[Pixels] = []
        for start in range(0, len(prompts), _BATCH):
            part = list(prompts[start : start + _BATCH])
            generator = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
            made += list(
                pipeline(
                    part,
                    num_inference_steps=few_steps or STEPS,
                    guidance_scale=1.0 if few_steps else GUIDANCE,
                    generator=generator,
                    output_type="np",
                ).images
            )
        return made

    return draw


def base_figures(weights: Path, count: int) -> Figures:
    """The base's own corpus. A shape counts only when it is plainly that shape."""
    asked = asks(count)
    start = time.monotonic()
    made = drawing(load(weights))([ask.prompt for ask in asked])
    seconds = (time.monotonic() - start) / count
    verdicts = [judge(picture) for picture in made]
    pairs = list(zip(verdicts, asked, strict=True))
    return Figures(
        architecture.NAME,
        shape=fmean(v.shows(a.shape) for v, a in pairs),
        colour=fmean(v.colour == a.colour for v, a in pairs),
        background=fmean(v.background == a.background for v, a in pairs),
        effect=0.0,
        without=0.0,
        seconds=seconds,
    )


def adapter_figures(weights: Path, recipe: AdapterRecipe, count: int) -> Figures:
    """An adapter's corpus, and for its effect the base's of the same prompts and seeds."""
    asked = asks(count, recipe.shapes)
    pipeline = load(weights)
    if recipe.few_steps:
        pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    steps = FEW_STEPS if recipe.few_steps else 0
    plainly = _FEWER_STEPS if recipe.few_steps else steps
    without = drawing(pipeline, plainly)([ask.prompt for ask in asked])
    wear(pipeline, recipe, weights / "adapters" / recipe.name)
    start = time.monotonic()
    prompts = [recipe.prompt(ask.prompt) for ask in asked]
    made = drawing(pipeline, steps)(prompts)
    seconds = (time.monotonic() - start) / count
    shown = made if plainly == steps else drawing(pipeline, plainly)(prompts)
    pairs = [(judge(picture, recipe.style), ask) for picture, ask in zip(made, asked, strict=True)]
    return Figures(
        recipe.name,
        shape=fmean(v.shape == a.shape for v, a in pairs),
        colour=fmean(v.colour == a.colour for v, a in pairs),
        background=fmean(v.background == a.background for v, a in pairs),
        effect=mean_effect(shown, asked, recipe),
        without=mean_effect(without, asked, recipe),
        seconds=seconds,
    )


def mean_effect(made: Sequence[Pixels], asked: Sequence[Ask], recipe: AdapterRecipe) -> float:
    """How plainly pictures show what the adapter is for; the base's pictures of the same prompts show how much it adds.

    Of a style: how far the pictures have gone to it. Of a shape: the share of pictures that show it plainly.

    Of few steps: how crisp they leave the edges.

    Args:
        made: 128 x 128 x 3 in 0..1.
    """
    if recipe.few_steps:
        return fmean(crispness(picture) for picture in made)
    if recipe.style != PLAIN:
        return fmean(effect(picture, recipe.style) for picture in made)
    return fmean(judge(picture).shows(ask.shape) for picture, ask in zip(made, asked, strict=True))


def table(rows: Sequence[Figures]) -> str:
    """For a README."""
    head = "| model | shape | colour | background | effect | without it | s per picture |"
    lines = [
        f"| `{r.name}` | {r.shape:.0%} | {r.colour:.0%} | {r.background:.0%} "
        f"| {r.effect:.2f} | {r.without:.2f} | {r.seconds:.2f} |"
        for r in rows
    ]
    return "\n".join([head, "| --- " * 7 + "|", *lines])


def write_card(weights: Path, row: Figures, count: int) -> None:
    """The figures into the model's card."""
    if row.name == architecture.NAME:
        said = (
            f"\n## Figures\n\nOver {count} prompts with fixed seeds, {STEPS} Euler steps, guidance {GUIDANCE:g}, "
            f"judged by pixels: shape right in {row.shape:.1%}, its colour in {row.colour:.1%}, the "
            f"background's in {row.background:.1%}.\n"
        )
        (weights / architecture.NAME / "README.md").write_text(base_card(said))
        return
    recipe = RECIPES[row.name]
    said = (
        f"\n## Figures\n\nOver {max(1, count // 10)} prompts with fixed seeds, judged by pixels: {_measured(recipe)} "
        f"{row.effect:.2f} (the base alone: {row.without:.2f}); shape right in {row.shape:.0%}, its colour in "
        f"{row.colour:.0%}, the background's in {row.background:.0%}.\n"
    )
    (weights / "adapters" / row.name / "README.md").write_text(adapter_card(recipe, said))


def _measured(recipe: AdapterRecipe) -> str:
    """What its effect is, in words."""
    if recipe.few_steps:
        return f"edges after {_FEWER_STEPS} steps, from none (0) to as crisp as drawn (1)"
    if recipe.style != PLAIN:
        return "from plain (0) to its style (1)"
    return "share of pictures that plainly show the shape"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="shapes-xl or adapters; all by default")
    parser.add_argument("--weights", type=Path, default=Path("models/weights"))
    parser.add_argument("--count", type=int, default=300, help="pictures of the base; a tenth of it of each adapter")
    parser.add_argument("--cards", action="store_true", help="write the figures into the models' cards")
    given = parser.parse_args()
    threads_from_environment()
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    there = [name for name in RECIPES if (given.weights / "adapters" / name).is_dir()]
    rows = []
    for name in track(given.names or [architecture.NAME, *there], "judging", console=Console(stderr=True)):
        if name == architecture.NAME:
            row = base_figures(given.weights, given.count)
        else:
            row = adapter_figures(given.weights, RECIPES[name], max(1, given.count // 10))
        rows.append(row)
        if given.cards:
            write_card(given.weights, row, given.count)
    print(table(rows))
    for row in rows:
        if row.name == architecture.NAME and any(getattr(row, what) < least for what, least in BASE_TARGETS.items()):
            raise SystemExit(f"{row.name} is below {BASE_TARGETS}")


if __name__ == "__main__":
    _main()
