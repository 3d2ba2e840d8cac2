"""Training of one adapter, or of all: on pictures of its style, with PEFT, as anyone would."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from lorapool_models.adapters import lora, pivotal
from lorapool_models.adapters.card import adapter_card
from lorapool_models.adapters.distil import Ways, distillation_loss, ways
from lorapool_models.adapters.recipes import RECIPES, AdapterRecipe
from lorapool_models.base import architecture, denoiser
from lorapool_models.base.denoiser import Denoiser
from lorapool_models.base.training import TrainingRun, threads_from_environment
from lorapool_models.pictures import corpus
from lorapool_models.pictures.scene import draw
from lorapool_models.pictures.styles import STYLES

PROMPT_DROPOUT: Final = 0.1
"""The share of pictures whose prompt is left out."""


def train(recipe: AdapterRecipe, base_folder: Path, out: Path, checkpoints: Path, seed: int) -> None:
    """Train the adapter on that base and write it, with its card, as a repository of its own."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(base_folder)
    learned = list(pivotal.add(pipeline, recipe.tokens, like="style")) if recipe.tokens else []
    latents, ids = _lessons(pipeline, recipe, seed)
    taught = _ways(pipeline, latents, ids, checkpoints / f"ways-{recipe.name}.pt") if recipe.few_steps else None
    learned = [*lora.put_on(pipeline, recipe.network, seed), *learned]
    for parameter in learned:
        parameter.requires_grad_(True)  # a LoRA on a text encoder has fixed the table of new words
    model = Denoiser(pipeline)
    levels = denoiser.noise_levels(pipeline)

    def loss_of(_: int) -> tuple[Tensor, dict[str, float]]:
        if taught is not None:
            loss = distillation_loss(model, levels, taught.some(torch.randint(len(taught), (recipe.batch,))))
        else:
            chosen = torch.randint(len(latents), (recipe.batch,))
            loss = denoiser.noise_loss(model, levels, latents[chosen], ids[chosen], PROMPT_DROPOUT)
        return loss, {"loss": loss.item()}

    run = TrainingRun.resume(f"adapter-{recipe.name}", model, learned, recipe.lr, checkpoints)
    run.until(recipe.steps, recipe.lr, loss_of)
    model.load_state_dict(run.average.weights)
    lora.write(pipeline, recipe.network, out)
    if recipe.tokens:
        pivotal.write(pipeline, recipe.tokens, out)
    (out / "README.md").write_text(adapter_card(recipe))


def _ways(pipeline: Any, latents: Tensor, ids: Tensor, path: Path) -> Ways:
    """What the teacher shows a student of few steps; once, as it takes minutes."""
    if not path.exists():
        shown = ways(Denoiser(pipeline), denoiser.noise_levels(pipeline), ids, tuple(latents.shape[1:]))
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((shown.noisy, shown.at, shown.ids, shown.picture), path)
    return Ways(*torch.load(path, weights_only=True))


def _lessons(pipeline: Any, recipe: AdapterRecipe, seed: int) -> tuple[Tensor, Tensor]:
    """Latents and token ids of pictures in the adapter's style, each asked for with its trigger words."""
    rng = np.random.default_rng(seed)
    style = STYLES.get(recipe.style, draw)
    scenes = [corpus.random_scene(rng, recipe.shapes) for _ in range(recipe.pictures)]
    data = np.stack([corpus.as_bytes(style(scene)) for scene, _ in scenes])
    ids = denoiser.token_ids(pipeline.tokenizer, [recipe.prompt(prompt) for _, prompt in scenes])
    return denoiser.encoded(pipeline, data), ids


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RECIPES), help="which adapters; all of them by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=Path("models/weights"))
    given = parser.parse_args()
    threads_from_environment()
    for name in given.names:
        out = given.weights / "adapters" / name
        checkpoints = corpus.cache_folder() / f"seed-{given.seed}"
        train(RECIPES[name], given.weights / architecture.NAME, out, checkpoints, given.seed)


if __name__ == "__main__":
    _main()
