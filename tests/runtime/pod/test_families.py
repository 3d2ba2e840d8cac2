"""Every family that the engine takes, through the whole pod: text, pictures, previews and adapters."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from tests import tiny, tiny_families
from tests.runtime.ask import Pixels, distance
from tests.runtime.pod.test_events import events
from tests.runtime.pods import Running, config, entry, eventually, settings, started

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource

pytestmark = pytest.mark.timeout(600)
STEPS = 3
ROUNDING = 2


@dataclass(frozen=True)
class Family:
    """A family of base models: a tiny one of it, and the modules that its adapters change."""

    make: Callable[[Path], Path]
    denoiser: str
    modules: tuple[str, ...]

    def changes(self, pipeline: Any) -> list[tiny.Change]:
        names = [n for n, _ in getattr(pipeline, self.denoiser).named_modules() if n.endswith(self.modules)]
        return tiny.make_changes(pipeline, [(self.denoiser, name) for name in names])


ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FAMILIES = {
    "sd15": Family(tiny_families.make_sd15, "unet", ATTENTION),
    "sdxl": Family(tiny.make_pipeline, "unet", ATTENTION),
    "sd3": Family(tiny_families.make_sd3_pipeline, "transformer", (*ATTENTION, "add_q_proj", "ff.net.2")),
    "flux": Family(tiny_families.make_flux_pipeline, "transformer", (*ATTENTION, "add_q_proj", "proj_mlp")),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, one_thread: None) -> Family:
    return FAMILIES[request.param]


def by_diffusers(folder: Path, changes: list[tiny.Change]) -> Pixels:
    """The family's own pipeline with the adapter merged in float64."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    tiny.merge(pipeline, [(changes, 1.0)])
    with torch.inference_mode():
        made = pipeline(
            prompt="a red circle",
            width=tiny.SIZE,
            height=tiny.SIZE,
            num_inference_steps=STEPS,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(7),
        )
    return np.asarray(made.images[0])


async def drawn(pod: Running, *adapters: str, **body: Any) -> tuple[Pixels, list[str]]:
    """The picture and the warnings that came with it."""
    wanted = {"prompt": "a red circle", "seed": 7, "adapters": [{"key": key} for key in adapters]} | body
    reply = await pod.serving.post("/v1/generate", json=wanted)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    return decoded(body["images"][0]["data"]), body["warnings"]


def decoded(data: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def encoded(picture: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def test_every_family_draws_with_and_without_adapters_and_shows_steps(family: Family, tmp_path: Path) -> None:
    folder = family.make(tmp_path / "model")
    changes = family.changes(DiffusionPipeline.from_pretrained(folder))
    (tmp_path / "adapters").mkdir()
    file = tiny.write_diffusers(tmp_path / "adapters" / "a.safetensors", changes)
    usual = {"width": tiny.SIZE, "height": tiny.SIZE, "steps": STEPS, "guidanceScale": 3.0}
    pool = config(
        tmp_path / "adapters",
        engine=EngineName.DIFFUSERS,
        model=BaseModelSpec(source=ModelSource.model_construct(path=str(folder)), dtype=Dtype.FLOAT32),
        serving=Serving.model_validate({"defaults": usual}),
    )
    async with started(settings(tmp_path, pool)) as pod:
        await pod.apply(entry(file))
        await eventually(lambda: pod.runtime.not_ready is None)
        await pod.until("default/a")
        base, warnings = await drawn(pod)
        own, _ = await drawn(pod, "default/a", scheduler="euler")
        came = await events(pod, prompt="a red circle", seed=7, previews=1)
        started_from, _ = await drawn(pod, image=encoded(own), strength=0.7)
        again, _ = await drawn(pod)

    assert warnings == [], "the pool's defaults are no fault of the request"
    assert distance(own, by_diffusers(folder, changes)) <= ROUNDING
    assert distance(own, base) > ROUNDING, "the adapter is not seen"
    assert (again == base).all()
    assert distance(started_from, base) > ROUNDING
    assert [name for name, _ in came] == ["step"] * STEPS + ["done"], json.dumps(came)[:500]
    assert [decoded(data["preview"]).shape for _, data in came[:-1] if data["preview"]] == [base.shape]
