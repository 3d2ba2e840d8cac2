"""The whole pod with the diffusers engine: from a catalog to images of a real pipeline."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import tiny
from tests.runtime.ask import Pixels, distance
from tests.runtime.engine.weighting.reference import drawn
from tests.runtime.pods import Running, config, entry, eventually, settings, started, write_adapter

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.state import AdapterPhase, BaseReport


async def made(pod: Running, *adapters: str) -> str:
    """The image in base64."""
    reply = await pod.generate(adapters=[{"key": key} for key in adapters])
    assert reply.status_code == 200, reply.text
    data: str = reply.json()["images"][0]["data"]
    return data


async def made_with(pod: Running, scale: dict[str, Any]) -> dict[str, Any]:
    """The reply for the adapter in kohya's layout at that scale."""
    reply = await pod.generate(adapters=[{"key": "default/kohya", "scale": scale}])
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def pixels(data: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.timeout(600)
async def test_one_warm_base_serves_adapters_of_every_layout(model: Path, reference: Any, tmp_path: Path) -> None:
    changes = tiny.make_changes(reference, tiny.attention_modules(reference))
    of_unet = [c for c in changes if c.component == "unet"]
    folders = {name: tmp_path / "adapters" / name for name in ("kohya", "diffusers", "peft")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    files = [
        tiny.write_kohya(folders["kohya"] / "kohya.safetensors", changes),
        tiny.write_diffusers(folders["diffusers"] / "diffusers.safetensors", changes),
        tiny.write_peft(folders["peft"] / "peft.safetensors", of_unet),
        write_adapter(tmp_path / "adapters", "stranger"),
    ]
    pool = config(
        tmp_path / "adapters",
        engine=EngineName.DIFFUSERS,
        model=BaseModelSpec(source=ModelSource.model_construct(path=str(model)), dtype=Dtype.FLOAT32),
        serving=Serving.model_validate({"defaults": {"width": tiny.SIZE, "height": tiny.SIZE, "steps": 2}}),
    )
    async with started(settings(tmp_path, pool)) as pod:
        await pod.apply(*(entry(f) for f in files))
        await eventually(lambda: pod.runtime.not_ready is None)
        states = {f.stem: await pod.until(f"default/{f.stem}") for f in files}
        report = BaseReport.model_validate((await pod.control.get("/v1/base")).json())
        base = await made(pod)
        kohya, diffusers, peft = [await made(pod, f"default/{n}") for n in ("kohya", "diffusers", "peft")]
        both = await made(pod, "default/kohya", "default/peft")
        weighed = await made_with(pod, {"steps": [[0, 1.0], [0.5, 0.2]], "text_encoder": 0.4})
        none = await made_with(pod, {"blocks": "NONE"})
        wrong = await pod.generate(adapters=[{"key": "default/kohya", "scale": {"blocks": [1] * 17}}])
        hostile = await pod.generate(adapters=[{"key": "default/kohya", "scale": {"steps": [[0, 11]]}}])
        again = await made(pod)

    assert report.modules["unet"]["conv_in"] == (32, 4, 3, 3)
    assert states["stranger"].phase is AdapterPhase.FAILED
    assert states["stranger"].reason is Reason.BASE_MODEL_MISMATCH
    assert kohya == diffusers, "the same weights in two layouts"
    assert len({base, kohya, peft, both}) == 4
    assert again == base

    def strength(change: tiny.Change, step: int) -> float:
        return 0.4 if change.component != "unet" else 1.0 if step < 1 else 0.2

    wanted = drawn(reference, [(changes, strength)], prompt="a circle", seed=1, steps=2, guidance_scale=5.0)
    assert distance(pixels(weighed["images"][0]["data"]), wanted) <= 1
    said = {"steps": [[0.0, 1.0], [0.5, 0.2]], "text_encoder": 0.4, "blocks": None}
    assert weighed["adapters"][0]["scale"] == said
    assert none["images"][0]["data"] == base, "no block counts"
    assert (wrong.status_code, wrong.json()["code"]) == (400, "InvalidRequest")
    assert "blocks of adapter default/kohya: blocks of SDXL are 12 or 20 weights, not 17" in wrong.json()["message"]
    assert (hostile.status_code, hostile.json()["code"]) == (400, "InvalidRequest")
