"""T2I-Adapters: what diffusers' own pipelines with them make, with active adapters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, MultiAdapter, T2IAdapter
from tests import tiny, tiny_families
from tests.runtime.ask import Pixels, distance, image, read, recipe
from tests.runtime.conftest import make_engine
from tests.runtime.controls import picture, specs

from lorapool_api.kinds.models.controls import ControlKind, ControlSpec
from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.passes import ControlPicture, Start
from lorapool_runtime.errors import ModelError, RecipeError

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:The decode_latents method is deprecated:FutureWarning"),  # by diffusers' own
]
SIDE = tiny.SIZE
SEEN = 4
EDGES = ControlPicture("edges", picture(1), scale=0.8)
COLOUR = ControlPicture("colour", picture(2), scale=0.5)


@dataclass(frozen=True)
class Kind:
    """A tiny base, and the options of adapters whose states have the sizes of its blocks."""

    make: Callable[[Path], Path]
    options: Mapping[str, Any]


KINDS = {
    "StableDiffusionXL": Kind(
        tiny.make_pipeline, {"channels": [32, 64, 64, 64], "downscale_factor": 4, "adapter_type": "full_adapter_xl"}
    ),
    "StableDiffusion": Kind(
        tiny_families.make_sd15, {"channels": [32, 64], "downscale_factor": 2, "adapter_type": "full_adapter"}
    ),
}


class World:
    """A base with an adapter for pictures in colour, and one for grey ones."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix, self.kind = prefix, KINDS[prefix]
        self.model = self.kind.make(folder / "model")
        self.folders = {"colour": folder / "colour", "edges": folder / "edges"}
        for seed, (name, channels) in enumerate({"colour": 3, "edges": 1}.items()):
            torch.manual_seed(seed)
            made = T2IAdapter(in_channels=channels, num_res_blocks=1, **self.kind.options)
            for parameter in made.parameters():
                parameter.data *= 3
            made.save_pretrained(self.folders[name], safe_serialization=True)
        self.engine = make_engine(self.model, controls=t2i_specs(self.folders))

    def theirs(self, *names: str) -> Any:
        nets = [T2IAdapter.from_pretrained(self.folders[name]) for name in names]
        kind = getattr(diffusers, f"{self.prefix}AdapterPipeline")
        made = kind.from_pretrained(self.model, adapter=nets[0] if len(nets) == 1 else MultiAdapter(nets))
        made.set_progress_bar_config(disable=True)
        made.scheduler, _ = make_scheduler(made.scheduler, SchedulerName.EULER_A)
        return made


def t2i_specs(folders: Mapping[str, Path]) -> tuple[ControlSpec, ...]:
    return specs(folders, kind=ControlKind.T2I_ADAPTER)


@pytest.fixture(scope="module", params=list(KINDS))
def world(request: pytest.FixtureRequest, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(request.param, tmp_path_factory.mktemp("t2i"))


def asked(pipeline: Any, *controls: ControlPicture) -> Pixels:
    wanted = recipe()
    images = [c.image.convert("L") if c.name == "edges" else c.image for c in controls]
    scales = [c.scale for c in controls]
    one = len(controls) == 1
    with torch.inference_mode():
        made = pipeline(
            prompt=wanted.prompt,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            width=SIDE,
            height=SIDE,
            generator=torch.Generator().manual_seed(wanted.seed),
            image=images[0] if one else images,
            adapter_conditioning_scale=scales[0] if one else scales,
        )
    return np.asarray(made.images[0])


@pytest.mark.parametrize("control", [EDGES, COLOUR], ids=["grey", "colour"])
def test_a_picture_with_an_adapter_is_that_of_diffusers(world: World, tmp_path: Path, control: ControlPicture) -> None:
    theirs = world.theirs(control.name)
    ends = ("to_q", "to_k", "to_v", "to_out.0")
    modules = [("unet", name) for name, _ in theirs.unet.named_modules() if name.endswith(ends)]
    changes = tiny.make_changes(theirs, modules, seed=4)
    adapter = read(world.engine, tiny.write_diffusers(tmp_path / "a.safetensors", changes))
    base = image(world.engine)
    mine = image(world.engine, (adapter, 1.0), controls=(control,))
    tiny.merge(theirs, [(changes, 1.0)])
    assert distance(mine, asked(theirs, control)) <= 2
    assert distance(mine, image(world.engine, controls=(control,))) > SEEN
    assert distance(mine, image(world.engine, (adapter, 1.0))) > SEEN
    assert (image(world.engine) == base).all()


def test_two_of_them_add_up(world: World) -> None:
    both = image(world.engine, controls=(COLOUR, COLOUR))
    assert distance(both, asked(world.theirs("colour", "colour"), COLOUR, COLOUR)) <= 2


def test_a_picture_to_begin_with_is_controlled_too(world: World) -> None:
    start = Start(picture(3), None, 0.7)
    assert distance(image(world.engine, start=start, controls=(COLOUR,)), image(world.engine, start=start)) > SEEN


def test_a_size_that_it_cannot_read_is_refused(world: World) -> None:
    odd = ControlPicture("edges", picture(1, (SIDE + 1, SIDE)))
    with pytest.raises(RecipeError, match=r"with the control edges width and height are multiples of \d"):
        image(world.engine, controls=(odd,))
    assert image(world.engine).shape == (SIDE, SIDE, 3)


def test_one_for_another_base_is_refused(world: World, tmp_path: Path) -> None:
    options = {**world.kind.options, "channels": [16, *world.kind.options["channels"][1:]]}
    T2IAdapter(in_channels=3, num_res_blocks=1, **options).save_pretrained(tmp_path, safe_serialization=True)
    with pytest.raises(ModelError, match="is for another base: its blocks have"):
        make_engine(world.model, controls=t2i_specs({"edges": tmp_path}))


def test_a_transformer_takes_none(one_thread: None, tmp_path: Path) -> None:
    flux = tiny_families.make_flux_pipeline(tmp_path / "flux")
    assert hasattr(DiffusionPipeline.from_pretrained(flux), "transformer")
    with pytest.raises(ModelError, match="no T2I-Adapters for Flux"):
        make_engine(flux, controls=t2i_specs({"edges": tmp_path}))
