"""Pictures that control others: what diffusers' own pipelines with ControlNets make, with active adapters."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DiffusionPipeline
from PIL import Image
from tests import tiny, tiny_families
from tests.families import transformers
from tests.runtime.ask import distance, finished, image, read, recipe, request
from tests.runtime.conftest import make_engine
from tests.runtime.controls import make_control, picture, specs

from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.passes import ControlPicture, Start
from lorapool_runtime.errors import ModelError

SIDE = tiny.SIZE
MAKERS = {"StableDiffusionXL": tiny.make_pipeline, "StableDiffusion": tiny_families.make_sd15}


class ControlledBase:
    """A tiny base with two controls."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self.model = MAKERS[prefix](folder / "model")
        pipeline = DiffusionPipeline.from_pretrained(self.model)
        self.nets = {name: make_control(folder / name, pipeline, seed) for seed, name in enumerate(("edges", "depth"))}
        self.engine = make_engine(self.model, controls=specs(self.nets))

    def theirs(self, task: str, names: tuple[str, ...]) -> Any:
        nets = [ControlNetModel.from_pretrained(self.nets[name]) for name in names]
        kind = getattr(diffusers, f"{self.prefix}ControlNet{task}Pipeline")
        made = kind.from_pretrained(self.model, controlnet=nets[0] if len(nets) == 1 else nets)
        made.set_progress_bar_config(disable=True)
        made.scheduler, _ = make_scheduler(made.scheduler, SchedulerName.EULER_A)
        return made


@pytest.fixture(scope="module", params=list(MAKERS))
def world(request: pytest.FixtureRequest, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> ControlledBase:
    return ControlledBase(request.param, tmp_path_factory.mktemp("controls"))


EDGES = ControlPicture("edges", picture(1), scale=0.8, end=0.7)
DEPTH = ControlPicture("depth", picture(2))


def asked(pipeline: Any, image_name: str, controls: tuple[ControlPicture, ...], **more: Any) -> Any:
    wanted = recipe()
    one = len(controls) == 1
    values: dict[str, list[Any]] = {
        image_name: [c.image for c in controls],
        "controlnet_conditioning_scale": [c.scale for c in controls],
        "control_guidance_start": [c.start for c in controls],
        "control_guidance_end": [c.end for c in controls],
    }
    with torch.inference_mode():
        made = pipeline(
            prompt=wanted.prompt,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            width=SIDE,
            height=SIDE,
            generator=torch.Generator().manual_seed(wanted.seed),
            **{name: value[0] if one else value for name, value in values.items()},
            **more,
        )
    return np.asarray(made.images[0])


@pytest.mark.parametrize("controls", [(EDGES,), (EDGES, DEPTH)], ids=["one", "two"])
def test_a_controlled_picture_with_an_adapter_is_that_of_diffusers(
    world: ControlledBase, tmp_path: Path, controls: tuple[ControlPicture, ...]
) -> None:
    theirs = world.theirs("", tuple(control.name for control in controls))
    ends = ("to_q", "to_k", "to_v", "to_out.0")
    modules = [("unet", name) for name, _ in theirs.unet.named_modules() if name.endswith(ends)]
    changes = tiny.make_changes(theirs, modules, seed=4)
    adapter = read(world.engine, tiny.write_diffusers(tmp_path / "a.safetensors", changes))
    mine = image(world.engine, (adapter, 1.0), controls=controls)
    tiny.merge(theirs, [(changes, 1.0)])
    assert distance(mine, asked(theirs, "image", controls)) <= 2
    assert distance(mine, image(world.engine, controls=controls)) > 4  # without the adapter
    assert distance(mine, image(world.engine, (adapter, 1.0))) > 4  # without the controls


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_a_picture_to_begin_with_is_controlled_too(world: ControlledBase, task: str) -> None:
    mask = Image.fromarray(np.eye(SIDE, dtype=np.uint8) * 255) if task == "Inpaint" else None
    mine = image(world.engine, start=Start(picture(3), mask, 0.7), controls=(EDGES,))
    more = {"image": picture(3), "strength": 0.7} | ({} if mask is None else {"mask_image": mask})
    assert distance(mine, asked(world.theirs(task, ("edges",)), "control_image", (EDGES,), **more)) <= 2


def test_each_image_of_a_request_is_controlled(world: ControlledBase) -> None:
    (result,) = finished(world.engine.render([request(controls=(EDGES, DEPTH), images=2)]))
    made = [np.asarray(each) for each in result.images]  # type: ignore[union-attr]
    assert distance(made[1], image(world.engine, controls=(EDGES, DEPTH), seed=8)) <= 1


def test_the_base_is_the_same_after_a_controlled_picture(world: ControlledBase) -> None:
    before = image(world.engine)
    image(world.engine, controls=(DEPTH,))
    assert (image(world.engine) == before).all()


def test_a_control_of_another_base_is_refused(world: ControlledBase, tmp_path: Path) -> None:
    other = next(maker for prefix, maker in MAKERS.items() if prefix != world.prefix)(tmp_path / "other")
    with pytest.raises(ModelError, match=r"the control edges .* is for another base: its cross_attention_dim"):
        make_engine(other, controls=specs(world.nets))


def test_a_control_that_is_none_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match=r"the control edges .* cannot be loaded"):
        make_engine(model, controls=specs({"edges": model}))


def test_a_family_without_controls_says_so(one_thread: None, tmp_path: Path) -> None:
    base = transformers.make_z_image(tmp_path / "z-image")
    with pytest.raises(ModelError, match=r"no ControlNets for Z-Image"):
        make_engine(base, controls=specs({"edges": tmp_path}))
