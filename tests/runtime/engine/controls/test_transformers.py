"""ControlNets for transformers: what diffusers' own pipelines with them make, with active adapters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from tests import tiny
from tests.families.table import TINY
from tests.runtime.ask import Pixels, distance, image, read, recipe
from tests.runtime.conftest import make_engine
from tests.runtime.controls import picture, specs

from lorapool_runtime.engine.passes import ControlPicture, Start
from lorapool_runtime.errors import ModelError, RecipeError

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning"),  # by diffusers' own ControlNet
]
SIDE = tiny.SIZE
SEEN = 4
EDGES = ControlPicture("edges", picture(1), scale=0.8, end=0.7)
DEPTH = ControlPicture("depth", picture(2))


@dataclass(frozen=True)
class Kind:
    """How a family's ControlNet is made of its transformer, and what its pipelines are called; whether it takes two."""

    net: str
    pipeline: str
    options: Mapping[str, Any]
    tasks: tuple[str, ...] = ()
    takes_two: bool = True


_SIZES = {"attention_head_dim": 16, "num_attention_heads": 2}
KINDS = {
    "SD 3.x": Kind("SD3", "StableDiffusion3", {"num_layers": 1, "num_extra_conditioning_channels": 0}),
    "Flux.1": Kind("Flux", "Flux", {"num_layers": 1, "num_single_layers": 1, **_SIZES}, ("Img2Img", "Inpaint")),
    "Qwen-Image": Kind("QwenImage", "QwenImage", {"num_layers": 1, **_SIZES}, takes_two=False),
}


class Controlled:
    """A tiny base with two controls."""

    def __init__(self, family: str, folder: Path) -> None:
        self.kind, self.family = KINDS[family], TINY[family]
        self.model = self.family.make(folder / "model")
        self.net: Any = getattr(diffusers, f"{self.kind.net}ControlNetModel")
        self.nets = {name: self.made(folder / name, seed) for seed, name in enumerate(("edges", "depth"))}
        self.engine = make_engine(self.model, controls=specs(self.nets))

    def made(self, folder: Path, seed: int, **options: Any) -> Path:
        """One that has an effect: as a new one, its last layers are zero."""
        torch.manual_seed(seed)
        net = self.net.from_transformer(DiffusionPipeline.from_pretrained(self.model).transformer, **self.kind.options)
        if options:
            # Without what it notes of itself: which values were left out, among them.
            own = {name: value for name, value in net.config.items() if not name.startswith("_")}
            net = self.net.from_config({**own, **options})
        for parameter in net.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
        net.save_pretrained(folder, safe_serialization=True)
        return folder

    def theirs(self, names: tuple[str, ...], task: str = "") -> Any:
        nets = [self.net.from_pretrained(self.nets[name]) for name in names]
        several = getattr(diffusers, f"{self.kind.net}MultiControlNetModel")
        kind = getattr(diffusers, f"{self.kind.pipeline}ControlNet{task}Pipeline")
        made = kind.from_pretrained(self.model, controlnet=nets[0] if len(nets) == 1 else several(nets))
        made.set_progress_bar_config(disable=True)
        return made

    def asked(self, pipeline: Any, controls: tuple[ControlPicture, ...], **more: Any) -> Pixels:
        wanted = recipe()
        one = len(controls) == 1
        values: dict[str, list[Any]] = {
            "control_image": [c.image for c in controls],
            "controlnet_conditioning_scale": [c.scale for c in controls],
            "control_guidance_start": [c.start for c in controls],
            "control_guidance_end": [c.end for c in controls],
        }
        # That of SD3 draws for the picture that controls, from no generator that it is given.
        torch.manual_seed(wanted.seed)
        with torch.inference_mode():
            made = pipeline(
                prompt=wanted.prompt,
                num_inference_steps=wanted.steps,
                width=SIDE,
                height=SIDE,
                generator=torch.Generator().manual_seed(wanted.seed),
                **self.family.guided,
                **self.family.call,
                **{name: value[0] if one else value for name, value in values.items()},
                **more,
            )
        return np.asarray(made.images[0])


@pytest.fixture(scope="module", params=list(KINDS))
def world(request: pytest.FixtureRequest, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Controlled:
    return Controlled(request.param, tmp_path_factory.mktemp("controls"))


@pytest.mark.parametrize("controls", [(EDGES,), (EDGES, DEPTH)], ids=["one", "two"])
def test_a_controlled_picture_with_an_adapter_is_that_of_diffusers(
    world: Controlled, tmp_path: Path, controls: tuple[ControlPicture, ...]
) -> None:
    if len(controls) > 1 and not world.kind.takes_two:
        with pytest.raises(RecipeError, match="takes one ControlNet at a time"):
            image(world.engine, controls=controls, scheduler=None)
        return
    theirs = world.theirs(tuple(control.name for control in controls))
    names = [name for name, _ in theirs.transformer.named_modules() if name.endswith(world.family.changed)]
    changes = tiny.make_changes(theirs, [("transformer", n) for n in names], alpha=world.family.alpha, seed=4)
    adapter = read(world.engine, tiny.write_diffusers(tmp_path / "a.safetensors", changes))
    base = image(world.engine, scheduler=None)
    mine = image(world.engine, (adapter, 1.0), controls=controls, scheduler=None)
    tiny.merge(theirs, [(changes, 1.0)])
    assert distance(mine, world.asked(theirs, controls)) <= 2
    assert distance(mine, image(world.engine, controls=controls, scheduler=None)) > SEEN  # without the adapter
    assert distance(mine, image(world.engine, (adapter, 1.0), scheduler=None)) > SEEN  # without the controls
    assert (image(world.engine, scheduler=None) == base).all()
    again = image(world.engine, (adapter, 1.0), controls=controls, scheduler=None)
    assert (again == mine).all(), "the same request gives the same bytes"


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_a_picture_to_begin_with_is_controlled_where_diffusers_does_it(world: Controlled, task: str) -> None:
    mask = Image.fromarray(np.eye(SIDE, dtype=np.uint8) * 255) if task == "Inpaint" else None
    start = Start(picture(3), mask, 0.7)
    if task not in world.kind.tasks:
        with pytest.raises(RecipeError, match=r"does no (image-to-image|inpainting) with edges"):
            image(world.engine, start=start, controls=(EDGES,), scheduler=None)
        return
    more = {"image": picture(3), "strength": 0.7} | ({} if mask is None else {"mask_image": mask})
    mine = image(world.engine, start=start, controls=(EDGES,), scheduler=None)
    assert distance(mine, world.asked(world.theirs(("edges",), task), (EDGES,), **more)) <= 2


def test_one_for_another_base_is_refused(world: Controlled, tmp_path: Path) -> None:
    folder = world.made(tmp_path / "wide", 0, num_attention_heads=3)
    with pytest.raises(ModelError, match=r"is for another base: its num_attention_heads is 3"):
        make_engine(world.model, controls=specs({"edges": folder}))


def test_a_union_of_controls_is_refused(one_thread: None, tmp_path: Path) -> None:
    flux = Controlled("Flux.1", tmp_path)
    folder = flux.made(tmp_path / "union", 0, num_mode=10)
    with pytest.raises(ModelError, match=r"is a union of several controls"):
        make_engine(flux.model, controls=specs({"edges": folder}))
