"""Families that look at several pictures do what diffusers' own pipeline does with them; the others refuse more."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import tiny
from tests.families.own import STEPS, STRENGTH, OwnPipeline, changes_of, picture
from tests.families.table import TINY
from tests.runtime.ask import distance, image, read
from tests.runtime.families.conftest import Served
from tests.runtime.families.test_pod import asked, drawn, encoded, pool
from tests.runtime.pods import eventually, settings, started

from lorapool_runtime.engine.diffusers.base.by_family import family_in
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.passes import Start
from lorapool_runtime.errors import RecipeError

ROUNDING, SEEN = 2, 8
Serve = Callable[[str], Served]


@pytest.mark.parametrize("name", ["Qwen-Image-Edit Plus", "Flux.2", "Flux.2 klein"])
def test_pictures_beside_the_first_are_looked_at(name: str, serve: Serve, tmp_path: Path) -> None:
    engine, folder, side = serve(name).engine, serve(name).folder, TINY[name].side
    family = engine.parts.family
    # Of another shape, and of more pixels.
    beside = picture(2 * side).resize((2 * side, side)).rotate(90)
    wanted = {"width": side, "height": side, "scheduler": None, "steps": STEPS}
    changes = changes_of(name, engine.parts.pipeline)
    path = tiny.write_diffusers(tmp_path / "a.safetensors", changes)
    adapter = (read(engine, path), 1.0)
    mine = image(engine, adapter, start=Start(picture(side), None, STRENGTH, (beside,)), **wanted)
    reference = OwnPipeline(folder, family, Task.IMAGE_TO_IMAGE)
    reference.load(path, changes)
    assert distance(mine, reference.image(beside)) <= ROUNDING
    assert distance(mine, image(engine, adapter, start=Start(picture(side), None, STRENGTH), **wanted)) > SEEN


async def test_a_pod_is_sent_several_pictures(one_thread: None, tmp_path: Path) -> None:
    """The pictures of a request over HTTP come to the pipeline in their order; a mask beside them is refused."""
    name, task = "Flux.2 klein", Task.IMAGE_TO_IMAGE
    folder, adapters = TINY[name].make(tmp_path / "model"), tmp_path / "adapters"
    adapters.mkdir()
    beside = picture(2 * TINY[name].side)
    async with started(settings(tmp_path, pool(name, folder, adapters))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        body = asked(name, task) | {"images_beside": [encoded(beside)]}
        mine = await drawn(pod, body)
        masked = await pod.serving.post("/v1/generate", json=body | {"mask": encoded(beside)})
    own = OwnPipeline(folder, family_in(folder, json.loads((folder / "model_index.json").read_text()), name), task)
    assert distance(mine, own.image(beside)) <= ROUNDING
    assert (masked.status_code, "a mask goes with one picture" in masked.text) == (400, True)


@pytest.mark.parametrize("name", ["Qwen-Image-Edit", "Flux.1 Kontext", "SD 1.x"])
def test_a_family_that_begins_with_one_picture_refuses_more_by_its_name(name: str, serve: Serve) -> None:
    side = TINY[name].side
    start = Start(picture(side), None, STRENGTH, (picture(side),))
    with pytest.raises(RecipeError, match=f"{name} begins with one picture, not 2"):
        image(serve(name).engine, start=start, width=side, height=side, scheduler=None, steps=STEPS)
