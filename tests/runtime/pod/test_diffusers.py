"""The whole pod with the diffusers engine: from a catalog to images of a real pipeline."""

from pathlib import Path
from typing import Any

import pytest
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


@pytest.mark.timeout(600)
async def test_one_warm_base_serves_adapters_of_every_layout(model: Path, reference: Any, tmp_path: Path) -> None:
    from tests import tiny

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
        again = await made(pod)

    assert report.modules["unet"]["conv_in"] == (32, 4, 3, 3)
    assert states["stranger"].phase is AdapterPhase.FAILED
    assert states["stranger"].reason is Reason.BASE_MODEL_MISMATCH
    assert kohya == diffusers, "the same weights in two layouts"
    assert len({base, kohya, peft, both}) == 4
    assert again == base
