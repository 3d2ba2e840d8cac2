"""An adapter for few steps is right without the client knowing: a whole pod, with the trained base."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.pods import Running, config, entry, eventually, settings, started

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.serving import FoundDefaults, SchedulerName, Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.rules.few_steps import recognised
from lorapool_models.base import architecture
from lorapool_models.pictures.scene import SIZE

WEIGHTS = Path(__file__).parents[3] / "models" / "weights"
LCM = {"steps": 4, "guidance_scale": 1.0, "scheduler": "lcm"}
PROMPT = "a red star on a yellow background"


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Running]:
    pool = config(
        tmp_path / "adapters",
        engine=EngineName.DIFFUSERS,
        model=BaseModelSpec(
            source=ModelSource.model_construct(path=str(WEIGHTS / architecture.NAME)), dtype=Dtype.FLOAT32
        ),
        serving=Serving.model_validate({"defaults": {"width": SIZE, "height": SIZE, "steps": 6, "scheduler": "euler"}}),
    )
    async with started(settings(tmp_path, pool)) as running:
        yield running


def adapter(tmp_path: Path, name: str) -> Path:
    (weights,) = (WEIGHTS / "adapters" / "fast").glob("*.safetensors")
    (tmp_path / "adapters").mkdir(exist_ok=True)
    return Path(shutil.copy(weights, tmp_path / "adapters" / f"{name}.safetensors"))


async def made(pod: Running, *adapters: str, **said: Any) -> str:
    """The image in base64."""
    reply = await pod.generate(prompt=PROMPT, adapters=[{"key": key} for key in adapters], seed=3, **said)
    assert reply.status_code == 200, reply.text
    data: str = reply.json()["images"][0]["data"]
    return data


@pytest.mark.timeout(600)
async def test_a_request_that_knows_nothing_gets_the_picture_of_one_that_knows_all(
    pod: Running, tmp_path: Path
) -> None:
    known, said, bare = (adapter(tmp_path, name) for name in ("lcm-lora-sdxl", "said", "bare"))
    defaults = FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)
    await pod.apply(
        entry(known).model_copy(update={"recognised": recognised(None, known.name)}),
        entry(said).model_copy(update={"defaults": defaults}),
        entry(bare),
    )
    await eventually(lambda: pod.runtime.not_ready is None)
    for file in (known, said, bare):
        await pod.until(f"default/{file.stem}")
    right = await made(pod, "default/bare", **LCM)
    assert await made(pod, "default/lcm-lora-sdxl") == right, "known by its name"
    assert await made(pod, "default/said") == right, "its object says so"
    assert await made(pod, "default/bare") != right, "nothing says so"
    assert await made(pod, "default/said", steps=2) == await made(pod, "default/bare", **LCM | {"steps": 2})

    def measured() -> bool:
        facts = pod.runtime.state().adapters["default/said"].facts
        return facts is not None and facts.merge_loss is not None

    await eventually(measured, "an idle pod has measured what a merge would lose")
    facts = pod.runtime.state().adapters["default/said"].facts
    assert facts is not None
    assert facts.merge_loss == pytest.approx(0, abs=1e-3), "a base of float32 holds all of it"
    assert facts.networks is not None
