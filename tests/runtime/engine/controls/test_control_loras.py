"""Control-LoRAs: their weights by the formula in float64, their pictures as diffusers' own loader makes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DiffusionPipeline, StableDiffusionXLControlNetPipeline
from safetensors.torch import load_file, save_file
from tests import tiny
from tests.runtime.ask import distance, image, read, recipe
from tests.runtime.conftest import make_engine
from tests.runtime.controls import picture, specs

from lorapool_api.kinds.base_model import Dtype, Quantization, QuantizationMethod
from lorapool_api.kinds.models.controls import ControlKind, ControlSpec
from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.diffusers.base.control_loras import load_control_lora
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.passes import ControlPicture
from lorapool_runtime.errors import ModelError

pytestmark = pytest.mark.timeout(600)
SIDE = 64
SEEN = 4
FILE = "control.safetensors"
EDGES = ControlPicture("edges", picture(1, (SIDE, SIDE)), scale=0.8)
RANK = 4

# What stands for a part of a residual block in the names of the original UNet.
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def original(name: str) -> str:
    """The name of a parameter of a ControlNet with two layers for each of its blocks, in the original code."""
    head, *rest = name.split(".")
    match head:
        case "conv_in":
            return ".".join(["input_blocks.0.0", *rest])
        case "time_embedding" | "add_embedding":
            place = {"linear_1": "0", "linear_2": "2"}[rest[0]]
            return ".".join(["time_embed" if head == "time_embedding" else "label_emb.0", place, *rest[1:]])
        case "controlnet_down_blocks":
            return ".".join(["zero_convs", rest[0], "0", *rest[1:]])
        case "controlnet_mid_block":
            return ".".join(["middle_block_out.0", *rest])
        case "controlnet_cond_embedding":
            index = {"conv_in": 0, "conv_out": 14}.get(rest[0])
            kept = rest[1:] if index is not None else rest[2:]
            return ".".join(["input_hint_block", str(2 * int(rest[1]) + 2 if index is None else index), *kept])
        case "down_blocks":
            block, kind, layer, *inner = rest
            number = 3 * int(block) + 1 + (2 if kind == "downsamplers" else int(layer))
            if kind == "downsamplers":
                return ".".join([f"input_blocks.{number}.0.op", *inner[1:]])
            return ".".join([f"input_blocks.{number}.{int(kind == 'attentions')}", *_inner(kind, inner)])
        case _:
            kind, layer, *inner = rest
            number = 1 if kind == "attentions" else 2 * int(layer)
            return ".".join([f"middle_block.{number}", *_inner(kind, inner)])


def _inner(kind: str, names: list[str]) -> list[str]:
    return [RESNET[names[0]], *names[1:]] if kind == "resnets" else names


@pytest.fixture(scope="module")
def base(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL whose latents have an eighth of the picture's sides, as these controls have it."""
    folder = tmp_path_factory.mktemp("base")
    pipeline = DiffusionPipeline.from_pretrained(tiny.make_pipeline(folder / "of"), add_watermarker=False)
    torch.manual_seed(0)
    blocks = 4
    pipeline.register_modules(
        vae=AutoencoderKL(
            block_out_channels=(32,) * blocks,
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            latent_channels=4,
            sample_size=SIDE,
        )
    )
    pipeline.save_pretrained(folder / "model", safe_serialization=True)
    return folder / "model"


def write(base: Path, folder: Path, *, biases: bool = True) -> Path:
    """A Control-LoRA of random numbers: low-rank where the base has a weight, whole where it has none.

    Args:
        biases: whether those beside low-rank weights are others than the base's.
    """
    torch.manual_seed(1)
    tensors = {"lora_controlnet": torch.zeros(())}
    net = ControlNetModel.from_unet(DiffusionPipeline.from_pretrained(base).unet)
    weights = {name for name, p in net.named_parameters() if p.dim() > 1 and not name.startswith("controlnet_")}
    for name, parameter in net.named_parameters():
        if name in weights:
            low = original(name).removesuffix(".weight")
            tensors[f"{low}.down"] = torch.randn(RANK, *parameter.shape[1:]) * 0.1
            tensors[f"{low}.up"] = torch.randn(len(parameter), RANK, *(1 for _ in parameter.shape[2:])) * 0.1
        else:
            is_same = not biases and name.replace(".bias", ".weight") in weights
            tensors[original(name)] = parameter.detach() + torch.randn_like(parameter) * (0.0 if is_same else 0.1)
    save_file(tensors, folder / FILE)
    return folder


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(base, tmp_path_factory.mktemp("control-lora"))


def lora_specs(folder: Path) -> tuple[ControlSpec, ...]:
    return specs({"edges": folder}, kind=ControlKind.CONTROL_LORA, file=FILE)


def test_its_weights_are_the_bases_and_its_changes(base: Path, folder: Path) -> None:
    unet = DiffusionPipeline.from_pretrained(base).unet
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    net: Any = load_control_lora(lora_specs(folder)[0], folder / FILE, unet, torch.float32)
    tensors = load_file(folder / FILE)
    for name, parameter in net.named_parameters():
        low = original(name).removesuffix(".weight")
        if f"{low}.up" in tensors:
            up, down = (tensors[f"{low}.{part}"].double().flatten(1) for part in ("up", "down"))
            wanted = before[name].double() + (up @ down).view(parameter.shape)
        else:
            wanted = tensors[original(name)].double()
        assert torch.allclose(parameter.double(), wanted, atol=1e-6, rtol=0), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


@pytest.mark.filterwarnings("ignore:While injecting the PEFT adapters:RuntimeWarning")
def test_its_pictures_with_an_adapter_are_those_of_diffusers(base: Path, tmp_path: Path) -> None:
    """Whose loader leaves out biases beside low-rank weights."""
    folder = write(base, tmp_path, biases=False)
    engine = make_engine(base, controls=lora_specs(folder))
    net = ControlNetModel.from_unet(DiffusionPipeline.from_pretrained(base).unet)
    net.load_lora_adapter(str(folder), weight_name=FILE, prefix=None)
    theirs = StableDiffusionXLControlNetPipeline.from_pretrained(base, controlnet=net, add_watermarker=False)
    theirs.set_progress_bar_config(disable=True)
    theirs.scheduler, _ = make_scheduler(theirs.scheduler, SchedulerName.EULER_A)
    changes = tiny.make_changes(theirs, [pair for pair in tiny.attention_modules(theirs) if pair[0] == "unet"], seed=4)
    adapter = read(engine, tiny.write_diffusers(tmp_path / "a.safetensors", changes))
    size = {"width": SIDE, "height": SIDE}
    mine = image(engine, (adapter, 1.0), controls=(EDGES,), **size)
    tiny.merge(theirs, [(changes, 1.0)])
    wanted = recipe()
    with torch.inference_mode():
        made = theirs(
            prompt=wanted.prompt,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator().manual_seed(wanted.seed),
            image=EDGES.image,
            controlnet_conditioning_scale=EDGES.scale,
            **size,
        )
    assert distance(mine, np.asarray(made.images[0])) <= 2
    assert distance(mine, image(engine, (adapter, 1.0), **size)) > SEEN


def test_one_for_another_base_or_half_of_one_is_refused(base: Path, folder: Path, model: Path, tmp_path: Path) -> None:
    def without(name: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
        return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}

    def wider(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**tensors, "input_blocks.0.0.up": torch.zeros(40, RANK, 1, 1)}

    for i, (change, why) in enumerate(
        {
            without("lora_controlnet"): "is no Control-LoRA",
            without("zero_convs.1.0.weight"): "is for another base|lacks",
            wider: r"is for another base: its conv_in\.weight is \(40, 36\), not \(32, 36\)",
        }.items()
    ):
        (tmp_path / str(i)).mkdir()
        save_file(change(load_file(folder / FILE)), tmp_path / str(i) / FILE)
        with pytest.raises(ModelError, match=why):
            make_engine(base, controls=lora_specs(tmp_path / str(i)))


def test_a_packed_base_has_no_weights_for_it(base: Path, folder: Path) -> None:
    packed = Quantization(method=QuantizationMethod.INT8)
    with pytest.raises(ModelError, match="which are quantized here: take a ControlNet"):
        make_engine(base, dtype=Dtype.FLOAT32, controls=lora_specs(folder), quantization=packed)
