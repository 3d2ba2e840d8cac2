"""The adapters that come with the project, drawn by the engine: as by who wrote them, and plain to see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.runtime.ask import Pixels, distance, image, read, reference_image
from tests.runtime.conftest import make_engine

from lorapool_api.kinds.serving import ApplyMode, SchedulerName
from lorapool_models.adapters.recipes import RECIPES, AdapterRecipe
from lorapool_models.base import architecture
from lorapool_models.base.denoiser import GUIDANCE, STEPS
from lorapool_models.pictures.scene import SIZE
from lorapool_models.show import evaluate
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

WEIGHTS = Path(__file__).parents[4] / "models" / "weights"
# In 1/255 of a pixel, after all steps.
ROUNDING = 1
# More of the effect than the base's own picture has.
PLAIN_TO_SEE = 0.15


@pytest.fixture(scope="module", params=[ApplyMode.UNMERGED, ApplyMode.MERGED])
def engine(request: pytest.FixtureRequest, one_thread: None) -> DiffusersEngine:
    return make_engine(WEIGHTS / architecture.NAME, request.param)


@dataclass(frozen=True)
class Drawn:
    """By diffusers, with the adapter and without it; the same prompt, the same seed."""

    worn: Pixels
    bare: Pixels


@pytest.fixture(scope="module")
def drawn(one_thread: None) -> dict[str, Drawn]:
    """Made once for both engines, when it is asked for."""
    return {}


def ask(recipe: AdapterRecipe) -> evaluate.Ask:
    return evaluate.Ask(recipe.shapes[0], "red", "yellow")


def asked(recipe: AdapterRecipe) -> dict[str, Any]:
    steps = {"steps": 2, "guidance_scale": 1.0, "scheduler": SchedulerName.LCM} if recipe.few_steps else {}
    usual = {"steps": STEPS, "guidance_scale": GUIDANCE, "scheduler": SchedulerName.EULER}
    prompt = recipe.prompt(ask(recipe).prompt)
    return {"prompt": prompt, "width": SIZE, "height": SIZE, "seed": 3} | usual | steps


def by_diffusers(recipe: AdapterRecipe) -> Drawn:
    pipeline = evaluate.load(WEIGHTS)
    bare = reference_image(pipeline, **asked(recipe))
    evaluate.wear(pipeline, recipe, WEIGHTS / "adapters" / recipe.name)
    return Drawn(reference_image(pipeline, **asked(recipe)), bare)


def effect(recipe: AdapterRecipe, picture: Pixels) -> float:
    return evaluate.mean_effect([np.divide(picture, 255, dtype=np.float32)], [ask(recipe)], recipe)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RECIPES)
def test_it_draws_as_the_library_that_wrote_it_and_can_be_seen(
    name: str, engine: DiffusersEngine, drawn: dict[str, Drawn]
) -> None:
    recipe = RECIPES[name]
    wanted = drawn.get(name) or drawn.setdefault(name, by_diffusers(recipe))
    (path,) = (f for f in (WEIGHTS / "adapters" / name).glob("*.safetensors") if f.name != "embeddings.safetensors")
    adapter = read(engine, path)

    before = image(engine, **asked(recipe))
    worn = image(engine, (adapter, 1.0), **asked(recipe))
    assert distance(worn, wanted.worn) <= ROUNDING
    assert distance(before, wanted.bare) <= ROUNDING
    assert effect(recipe, worn) > effect(recipe, wanted.bare) + PLAIN_TO_SEE
    assert (image(engine, **asked(recipe)) == before).all()


def test_all_of_them_in_turns_leave_the_base_as_it_was(engine: DiffusersEngine) -> None:
    parameters = [p for name in ("unet", "text_encoder", "text_encoder_2") for p in _parameters(engine, name)]
    kept = [parameter.clone() for parameter in parameters]
    files = [f for f in WEIGHTS.glob("adapters/*/*.safetensors") if f.name != "embeddings.safetensors"]
    for path in files * 2:
        image(engine, (read(engine, path), 0.7), steps=1, width=SIZE, height=SIZE)
    assert len(files) == len(RECIPES)
    assert all(torch.equal(now, then) for now, then in zip(parameters, kept, strict=True))


def _parameters(engine: DiffusersEngine, component: str) -> list[torch.Tensor]:
    return list(getattr(engine.parts.pipeline, component).parameters())
