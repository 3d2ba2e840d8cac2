"""IP-Adapters: what diffusers' own pipelines make with them and with its loader of LoRAs."""

import hashlib
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DiffusionPipeline
from safetensors.torch import load_file, save_file
from tests import tiny, tiny_families
from tests.runtime.ask import Pixels, distance, finished, image, read, recipe, request
from tests.runtime.conftest import make_engine
from tests.runtime.controls import make_control, make_image_prompt, picture, specs, unet_keys

from lorapool_api.kinds.models.controls import ControlKind, ControlSpec, ImageEncoder
from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.passes import ControlPicture, Start
from lorapool_runtime.errors import ModelError

pytestmark = pytest.mark.timeout(600)
SIDE = tiny.SIZE
SEEN = 4
MAKERS = {"StableDiffusionXL": tiny.make_pipeline, "StableDiffusion": tiny_families.make_sd15}
FILE = "models/ip.safetensors"
STYLE = ControlPicture("style", picture(1, (50, 40)), scale=0.7)
FACE = ControlPicture("plus", picture(2, (30, 60)), scale=0.5)


def ip_specs(folders: dict[str, Path], **fields: Any) -> tuple[ControlSpec, ...]:
    return specs(folders, **{"kind": ControlKind.IP_ADAPTER, "file": FILE, "image_encoder": None} | fields)


class LookingBase:
    """A tiny base with a plain IP-Adapter, one of the kind Plus, and a ControlNet."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self.model = MAKERS[prefix](folder / "model")
        unet = DiffusionPipeline.from_pretrained(self.model).unet
        self.folders = {
            "style": make_image_prompt(folder / "style", unet_keys(unet), seed=5),
            "plus": make_image_prompt(folder / "plus", unet_keys(unet), seed=6, plus=True),
        }
        self.net = make_control(folder / "edges", DiffusionPipeline.from_pretrained(self.model), seed=0)
        self.engine = make_engine(self.model, controls=(*ip_specs(self.folders), *edges_spec(self.net)))

    def theirs(self, kind: str, *names: str, **options: Any) -> Any:
        made = getattr(diffusers, f"{self.prefix}{kind}Pipeline").from_pretrained(self.model, **options)
        made.set_progress_bar_config(disable=True)
        made.scheduler, _ = make_scheduler(made.scheduler, SchedulerName.EULER_A)
        files = [str(self.folders[name]) for name in names]
        made.load_ip_adapter(files, subfolder="models", weight_name=["ip.safetensors"] * len(names))
        return made

    def bytes_of_base(self) -> str:
        found = hashlib.sha256()
        for name, tensor in sorted(self.engine.parts.pipeline.unet.state_dict().items()):
            found.update(name.encode() + tensor.numpy().tobytes())
        return found.hexdigest()


def edges_spec(net: Path) -> tuple[ControlSpec, ...]:
    return specs({"edges": net}, kind=ControlKind.CONTROL_NET)


@pytest.fixture(scope="module", params=list(MAKERS))
def world(request: pytest.FixtureRequest, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> LookingBase:
    return LookingBase(request.param, tmp_path_factory.mktemp("image-prompts"))


def asked(pipeline: Any, *uses: ControlPicture, **more: Any) -> Pixels:
    wanted = recipe()
    pipeline.set_ip_adapter_scale([use.scale for use in uses])
    options = {"guidance_scale": wanted.guidance_scale} | more
    if "image" not in more:
        options |= {"width": SIDE, "height": SIDE}
    with torch.inference_mode():
        made = pipeline(
            prompt=wanted.prompt,
            num_inference_steps=wanted.steps,
            generator=torch.Generator().manual_seed(wanted.seed),
            ip_adapter_image=[use.image for use in uses],
            **options,
        )
    return np.asarray(made.images[0])


def lora(world: LookingBase, pipeline: Any, folder: Path) -> Path:
    ends = ("to_q", "to_k", "to_out.0")
    names = [name for name, _ in pipeline.unet.named_modules() if name.endswith(ends) and "encoder_hid" not in name]
    changes = tiny.make_changes(pipeline, [("unet", name) for name in names], seed=4)
    return tiny.write_diffusers(folder / "a.safetensors", changes)


@pytest.mark.parametrize("uses", [(STYLE,), (FACE,)], ids=["plain", "plus"])
def test_a_picture_with_an_adapter_is_that_of_diffusers(
    world: LookingBase, tmp_path: Path, uses: tuple[ControlPicture, ...]
) -> None:
    theirs = world.theirs("", *(use.name for use in uses))
    file = lora(world, theirs, tmp_path)
    adapter = read(world.engine, file)
    mine = image(world.engine, (adapter, 1.0), controls=uses)
    theirs.load_lora_weights(str(file.parent), weight_name=file.name)
    assert distance(mine, asked(theirs, *uses)) <= 2
    assert distance(mine, image(world.engine, controls=uses)) > SEEN  # without the adapter
    assert distance(mine, image(world.engine, (adapter, 1.0))) > SEEN  # without the picture


def test_two_pictures_count_together(world: LookingBase) -> None:
    theirs = world.theirs("", "style", "style")
    uses = (STYLE, ControlPicture("style", picture(7), scale=0.4))
    assert distance(image(world.engine, controls=uses), asked(theirs, *uses)) <= 2


def test_a_plain_one_and_one_of_the_kind_plus_count_together(world: LookingBase) -> None:
    """diffusers reads both with the encoder of the first, so each is compared alone: here their order is."""
    one, other = image(world.engine, controls=(STYLE, FACE)), image(world.engine, controls=(FACE, STYLE))
    assert distance(one, other) <= 1
    assert min(distance(one, image(world.engine, controls=(use,))) for use in (STYLE, FACE)) > SEEN


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_a_picture_to_begin_with_may_have_one_too(world: LookingBase, task: str) -> None:
    from PIL import Image

    mask = Image.fromarray(np.eye(SIDE, dtype=np.uint8) * 255) if task == "Inpaint" else None
    mine = image(world.engine, start=Start(picture(3), mask, 0.7), controls=(STYLE,))
    more = {"image": picture(3), "strength": 0.7} | ({} if mask is None else {"mask_image": mask})
    assert distance(mine, asked(world.theirs(task, "style"), STYLE, **more)) <= 2


def test_a_control_net_steers_beside_it(world: LookingBase) -> None:
    edges = ControlPicture("edges", picture(1), scale=0.8)
    theirs = world.theirs("ControlNet", "style", controlnet=ControlNetModel.from_pretrained(world.net))
    mine = image(world.engine, controls=(edges, STYLE))
    assert distance(mine, asked(theirs, STYLE, image=edges.image, controlnet_conditioning_scale=0.8)) <= 2


def test_without_guidance_and_in_a_batch_it_is_the_same(world: LookingBase) -> None:
    theirs = world.theirs("", "style")
    mine = image(world.engine, controls=(STYLE,), guidance_scale=1.0)
    assert distance(mine, asked(theirs, STYLE, guidance_scale=1.0)) <= 2
    (result,) = finished(world.engine.render([request(controls=(STYLE,), images=2)]))
    made = [np.asarray(each) for each in result.images]  # type: ignore[union-attr]
    assert distance(made[1], image(world.engine, controls=(STYLE,), seed=8)) <= 1


def test_requests_without_it_draw_the_bytes_of_a_pool_without_it(world: LookingBase, tmp_path: Path) -> None:
    bare = make_engine(world.model)
    file = lora(world, bare.parts.pipeline, tmp_path)
    before = world.bytes_of_base()
    for engine in (world.engine, bare):
        assert (image(engine) == image(bare)).all()
        assert (image(engine, (read(engine, file), 0.8)) == image(bare, (read(bare, file), 0.8))).all()
        if engine is world.engine:
            image(engine, controls=(STYLE, FACE))
            assert (image(engine) == image(bare)).all()
    assert world.bytes_of_base() == before
    assert world.engine.info.modules == bare.info.modules
    assert world.engine.info.size_bytes > bare.info.size_bytes


def test_one_for_another_base_is_refused(world: LookingBase, tmp_path: Path) -> None:
    other = next(maker for prefix, maker in MAKERS.items() if prefix != world.prefix)(tmp_path / "other")
    with pytest.raises(ModelError, match=r"the control style .* is for another base: its keys are \d+ wide"):
        make_engine(other, controls=ip_specs({"style": world.folders["style"]}))


def changed(world: LookingBase, folder: Path, change: Any) -> dict[str, Path]:
    """The plain one, its tensors changed."""
    (folder / "models").mkdir()
    tensors = load_file(world.folders["style"] / FILE)
    save_file(change(tensors), folder / FILE)
    (folder / "models" / "image_encoder").symlink_to(world.folders["style"] / "models" / "image_encoder")
    return {"style": folder}


def test_one_that_is_none_or_half_of_one_is_refused(world: LookingBase, tmp_path: Path) -> None:
    def without(part: str) -> Any:
        return lambda tensors: {name: t for name, t in tensors.items() if part not in name}

    def for_faces(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name.replace("proj.weight", "proj.0.weight"): t for name, t in tensors.items()}

    for i, (change, why) in enumerate(
        {
            without("image_proj"): "lacks image_proj or ip_adapter",
            without("ip_adapter.1.to_k"): "cannot be loaded",
            for_faces: r"\(FaceID\): it is not served",
        }.items()
    ):
        (tmp_path / str(i)).mkdir()
        with pytest.raises(ModelError, match=why):
            make_engine(world.model, controls=ip_specs(changed(world, tmp_path / str(i), change)))


def test_its_encoder_may_lie_elsewhere(world: LookingBase, tmp_path: Path) -> None:
    from lorapool_api.kinds.sources import ModelSource

    (tmp_path / "models").mkdir()
    (tmp_path / FILE).symlink_to(world.folders["style"] / FILE)
    with pytest.raises(ModelError, match="has no encoder of pictures"):
        make_engine(world.model, controls=ip_specs({"style": tmp_path}))
    source = ModelSource.model_construct(path=str(world.folders["style"] / "models"))
    for encoder in (
        ImageEncoder.model_construct(source=source, folder="image_encoder"),
        ImageEncoder.model_construct(
            source=ModelSource.model_construct(path=f"{source.path}/image_encoder"), folder=None
        ),
    ):
        engine = make_engine(world.model, controls=ip_specs({"style": tmp_path}, image_encoder=encoder))
        assert (image(engine, controls=(STYLE,)) == image(world.engine, controls=(STYLE,))).all()
