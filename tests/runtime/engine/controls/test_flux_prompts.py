"""IP-Adapters for Flux: what diffusers' own pipelines make with them, in the names of XLabs too."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny, tiny_families
from tests.runtime.ask import distance, image, read, recipe
from tests.runtime.conftest import make_engine
from tests.runtime.controls import make_image_prompt, picture, specs

from lorapool_api.kinds.models.controls import ControlKind
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.passes import ControlPicture, Start
from lorapool_runtime.errors import ModelError

pytestmark = pytest.mark.timeout(600)
SIDE = tiny.SIZE
SEEN = 4
FILE = "models/ip.safetensors"
STYLE = ControlPicture("style", picture(1, (50, 40)), scale=0.7)
WIDTHS = (tiny_families.WIDTH, tiny_families.T5_WIDTH)


@pytest.fixture(scope="module")
def flux(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.make_flux_pipeline(tmp_path_factory.mktemp("flux") / "model")


@pytest.fixture(scope="module")
def prompt(flux: Path) -> Path:
    """As diffusers' names have it: two blocks, their keys and values with a bias."""
    folder = make_image_prompt(flux.parent / "style", {"0": WIDTHS, "1": WIDTHS}, seed=5)
    tensors = load_file(folder / FILE)
    biases = {name.replace("weight", "bias"): t[:, 0].clone() for name, t in tensors.items() if "_ip." in name}
    save_file(tensors | biases, folder / FILE)
    return folder


def engine_with(flux: Path, folder: Path) -> DiffusersEngine:
    controls = specs({"style": folder}, kind=ControlKind.IP_ADAPTER, file=FILE, image_encoder=None)
    return make_engine(flux, controls=controls)


@pytest.fixture(scope="module")
def engine(flux: Path, prompt: Path) -> DiffusersEngine:
    return engine_with(flux, prompt)


def theirs(flux: Path, folder: Path, kind: str = "FluxPipeline") -> Any:
    made = getattr(diffusers, kind).from_pretrained(flux)
    made.set_progress_bar_config(disable=True)
    encoder = str(folder / "models" / "image_encoder")
    made.load_ip_adapter(
        str(folder / "models"),
        weight_name="ip.safetensors",
        image_encoder_pretrained_model_name_or_path=encoder,
        image_encoder_subfolder="",
        image_encoder_dtype=torch.float32,
    )
    made.set_ip_adapter_scale(STYLE.scale)
    return made


def asked(pipeline: Any, **more: Any) -> Any:
    wanted = recipe(scheduler=None)
    with torch.inference_mode():
        made = pipeline(
            prompt=wanted.prompt,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            width=SIDE,
            height=SIDE,
            generator=torch.Generator().manual_seed(wanted.seed),
            ip_adapter_image=STYLE.image,
            **more,
        )
    return np.asarray(made.images[0])


def test_a_picture_with_an_adapter_is_that_of_diffusers(
    flux: Path, prompt: Path, engine: DiffusersEngine, tmp_path: Path
) -> None:
    reference = theirs(flux, prompt)
    names = [name for name, _ in reference.transformer.named_modules() if name.endswith(("to_q", "add_q_proj"))]
    changes = tiny.make_changes(reference, [("transformer", name) for name in names], seed=4)
    file = tiny.write_diffusers(tmp_path / "a.safetensors", changes)
    before = image(engine, scheduler=None)
    mine = image(engine, (read(engine, file), 1.0), controls=(STYLE,), scheduler=None)
    reference.load_lora_weights(str(tmp_path), weight_name=file.name)
    assert distance(mine, asked(reference)) <= 2
    assert distance(mine, image(engine, controls=(STYLE,), scheduler=None)) > SEEN
    assert (image(engine, scheduler=None) == before).all()
    assert (before == image(make_engine(flux), scheduler=None)).all()
    assert distance(image(engine, controls=(STYLE,), scheduler=None), before) > SEEN


def test_a_picture_to_begin_with_may_have_one_too(flux: Path, prompt: Path, engine: DiffusersEngine) -> None:
    mine = image(engine, start=Start(picture(3), None, 0.7), controls=(STYLE,), scheduler=None)
    reference = theirs(flux, prompt, "FluxImg2ImgPipeline")
    assert distance(mine, asked(reference, image=picture(3), strength=0.7)) <= 2


def test_the_names_of_xlabs_mean_the_same(flux: Path, prompt: Path, engine: DiffusersEngine, tmp_path: Path) -> None:
    def name_of(name: str) -> str:
        part, _, rest = name.partition(".")
        if part == "image_proj":
            return f"ip_adapter_proj_model.{rest}"
        block, which, kind = rest.split(".")
        return f"double_blocks.{block}.processor.ip_adapter_double_stream_{which[3]}_proj.{kind}"

    (tmp_path / "models").mkdir()
    save_file({name_of(name): t for name, t in load_file(prompt / FILE).items()}, tmp_path / FILE)
    (tmp_path / "models" / "image_encoder").symlink_to(prompt / "models" / "image_encoder")
    other = engine_with(flux, tmp_path)
    mine, named = (image(each, controls=(STYLE,), scheduler=None) for each in (engine, other))
    assert (mine == named).all()


def test_a_family_without_them_says_so(one_thread: None, prompt: Path, tmp_path: Path) -> None:
    sd3 = tiny_families.make_sd3_pipeline(tmp_path / "sd3")
    with pytest.raises(ModelError, match=r"no IP-Adapters for SD 3"):
        engine_with(sd3, prompt)
