"""Every family through a whole pod: text, pictures and masks, an adapter of the catalog and previews, over HTTP."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import tiny
from tests.families.own import PROMPT, SEED, STEPS, STRENGTH, OwnPipeline, changes_of, left_half, picture
from tests.families.table import TINY
from tests.runtime.ask import Pixels, distance
from tests.runtime.pod.test_events import events
from tests.runtime.pods import Running, config, entry, eventually, settings, started

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.config import RuntimeConfig
from lorapool_runtime.engine.diffusers.base.by_family import family_in
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task

ROUNDING, SEEN = 2, 8
# They say nothing between two steps.
SILENT = ("PixArt-Sigma", "PixArt-Alpha", "LongCat-Image")


def pool(name: str, folder: Path, adapters: Path) -> RuntimeConfig:
    side = TINY[name].side
    usual = {"width": side, "height": side, "steps": STEPS, "guidanceScale": 3.0}
    # Not validated: a temporary folder may have any name.
    source = ModelSource.model_construct(path=str(folder))
    return config(
        adapters,
        engine=EngineName.DIFFUSERS,
        model=BaseModelSpec(source=source, dtype=Dtype.FLOAT32),
        serving=Serving.model_validate({"defaults": usual}),
    )


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(data: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def asked(name: str, task: Task) -> dict[str, Any]:
    """The body of a request for the task."""
    body: dict[str, Any] = {"prompt": PROMPT, "seed": SEED}
    if task is not Task.TEXT_TO_IMAGE:
        body |= {"image": encoded(picture(TINY[name].side)), "strength": STRENGTH}
    if task is Task.INPAINTING:
        body["mask"] = encoded(left_half(TINY[name].side))
    return body


async def drawn(pod: Running, body: dict[str, Any], *adapters: str) -> Pixels:
    reply = await pod.serving.post("/v1/generate", json=body | {"adapters": [{"key": key} for key in adapters]})
    assert reply.status_code == 200, reply.text
    made = reply.json()
    assert made["warnings"] == [], "the pool's defaults are no fault of the request"
    return decoded(made["images"][0]["data"])


async def check_task(pod: Running, family: FamilyTraits, task: Task, own: OwnPipeline) -> None:
    """The adapter's picture is that of diffusers, which has it loaded, and not the base's."""
    body = asked(family.name, task)
    mine = await drawn(pod, body, "default/a")
    assert distance(mine, own.image()) <= ROUNDING, task
    assert distance(mine, await drawn(pod, body)) > SEEN, task


# Chroma's own code still uses it.
@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TINY)
async def test_a_pod_serves_a_family(name: str, one_thread: None, tmp_path: Path) -> None:
    folder, adapters = TINY[name].make(tmp_path / "model"), tmp_path / "adapters"
    adapters.mkdir()
    family = family_in(folder, json.loads((folder / "model_index.json").read_text()), folder.name)
    owns = {task: OwnPipeline(folder, family, task) for task in family.pipelines}
    changes = changes_of(name, next(iter(owns.values())).pipeline)
    file = tiny.write_diffusers(adapters / "a.safetensors", changes)
    for own in owns.values():
        own.load(file, changes)
    async with started(settings(tmp_path, pool(name, folder, adapters))) as pod:
        await pod.apply(entry(file))
        await eventually(lambda: pod.runtime.not_ready is None)
        await pod.until("default/a")
        for task, own in owns.items():
            await check_task(pod, family, task, own)
        for task in set(Task) - set(owns):
            reply = await pod.serving.post("/v1/generate", json=asked(name, task))
            assert (reply.status_code, f"does no {task}: it does " in reply.text) == (400, True), reply.text
        came = await events(pod, **asked(name, family.first_task), previews=1)

    steps = [data for kind, data in came if kind == "step"]
    assert came[-1][0] == "done", json.dumps(came)[:500]
    side = TINY[name].side
    assert [decoded(data["preview"]).shape for data in steps if data["preview"]] == [(side, side, 3)] * bool(steps)
    assert bool(steps) is (name not in SILENT)
