"""Keys of older trainers and of other families, drawn by the engine and by diffusers on the same pipeline."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from tests import tiny, tiny_families
from tests.runtime.ask import distance, image, read, reference_image
from tests.runtime.conftest import make_engine
from tests.tiny import Change

from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.families import Family
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.check import read_header
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

ROUNDING = 1
SEEN = 25
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TEXT = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}

Write = Callable[[Path, list[Change]], Path]


def check(engine: DiffusersEngine, pipeline: Any, path: Path, *, by_diffusers: bool, changes: list[Change]) -> None:
    """The engine's picture with the file is the reference's, which is another than the base's."""
    base = reference_image(pipeline)
    if by_diffusers:
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    else:
        tiny.merge(pipeline, [(changes, 1.0)])
    wanted = reference_image(pipeline)
    assert distance(wanted, base) > SEEN
    assert distance(image(engine, (read(engine, path), 1.0)), wanted) <= ROUNDING
    assert distance(image(engine), base) <= ROUNDING


# ---- writers ---------------------------------------------------------------------------------------------------


def before_0_20(path: Path, changes: list[Change]) -> Path:
    """Attention processors in the UNet, patched projections in the text encoders; alpha is the rank."""
    tensors: dict[str, torch.Tensor] = {}
    for c in changes:
        owner, _, projection = c.module.removesuffix(".0").rpartition(".")
        if c.component == "unet":
            key = f"unet.{owner}.processor.{projection}_lora"
        else:
            module = f"text_model.{owner.removeprefix('text_model.')}"
            key = f"{c.component}.{module}.{TEXT[projection]}_lora"
        tensors |= {f"{key}.down.weight": c.down, f"{key}.up.weight": c.up}
    return _save(path, tensors)


def before_0_22(path: Path, changes: list[Change]) -> Path:
    """`lora.down` in the UNet, `lora_linear_layer.down` in the text encoders."""
    tensors: dict[str, torch.Tensor] = {}
    for c in changes:
        unet = c.component == "unet"
        module = c.module if unet else f"text_model.{c.module.removeprefix('text_model.')}"
        key = f"{c.component}.{module}.{'lora' if unet else 'lora_linear_layer'}"
        tensors |= {f"{key}.down.weight": c.down, f"{key}.up.weight": c.up}
    return _save(path, tensors)


def kohya(te: Mapping[str, str], original: bool, dtype: torch.dtype = torch.float32) -> Write:
    """Names of the original code or of diffusers; `te`: the prefixes of the text encoders."""

    def write(path: Path, changes: list[Change]) -> Path:
        tensors: dict[str, torch.Tensor] = {}
        for c in changes:
            if c.component in te:
                key = f"{te[c.component]}_text_model_{c.module.removeprefix('text_model.').replace('.', '_')}"
            else:
                key = tiny.kohya_name("unet", c.module) if original else f"lora_unet_{c.module.replace('.', '_')}"
            tensors |= {f"{key}.lora_down.weight": c.down, f"{key}.lora_up.weight": c.up}
            tensors[f"{key}.alpha"] = torch.tensor(c.alpha)
        return _save(path, {k: t.to(dtype) for k, t in tensors.items()})

    return write


def _save(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    save_file({k: t.contiguous() for k, t in tensors.items()}, path, {"format": "pt"})
    return path


def changes_of(pipeline: Any, names: tuple[str, ...], rank: int = 4, alpha: float = 4.0) -> list[Change]:
    """Of every module of the UNet and the text encoders whose name ends so; as half precision can hold them."""
    modules = [
        (component, name)
        for component in ("unet", "text_encoder", "text_encoder_2")
        for name, module in getattr(pipeline, component, torch.nn.Module()).named_modules()
        if name.endswith(names) and hasattr(module, "weight")
    ]
    made = tiny.make_changes(pipeline, modules, rank, alpha)
    return [Change(c.component, c.module, c.down.bfloat16().float(), c.up.bfloat16().float(), c.alpha) for c in made]


# ---- SDXL ------------------------------------------------------------------------------------------------------

XL = {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
SDXL: dict[str, tuple[Write, tuple[str, ...], bool]] = {
    "diffusers before 0.20": (before_0_20, (*ATTENTION, *TEXT), True),
    "diffusers before 0.22": (before_0_22, (*ATTENTION, *TEXT), True),
    "kohya in bfloat16": (kohya(XL, original=True, dtype=torch.bfloat16), (*ATTENTION, *TEXT), True),
    "kohya, text encoders alone": (kohya(XL, original=True), ("fc1", "fc2", *TEXT), False),
    # What distilled adapters for few steps change: time and size embeddings, convolutions, samplers, feed-forwards.
    "step distillation, kohya's prefix": (
        kohya(XL, original=False, dtype=torch.float16),
        (*ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut",
         "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv", "linear_1", "linear_2", "conv_in", "conv_out"),
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SDXL)
def test_a_layout_of_sdxl(kind: str, engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    write, names, by_diffusers = SDXL[kind]
    changes = changes_of(reference, names, alpha=4.0 if "diffusers" in kind else 2.0)
    path = write(tmp_path / "a.safetensors", changes)
    check(engine, reference, path, by_diffusers=by_diffusers, changes=changes)


# ---- SD 1.5 ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sd15(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.make_sd15(tmp_path_factory.mktemp("models") / "tiny-15")


@pytest.fixture(scope="module")
def engine15(sd15: Path) -> DiffusersEngine:
    return make_engine(sd15)


@pytest.fixture
def reference15(sd15: Path) -> Any:
    pipeline = StableDiffusionPipeline.from_pretrained(sd15, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


ONE = {"text_encoder": "lora_te"}
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "proj_in", "proj_out", "time_emb_proj", "samplers.0.conv")
SD15: dict[str, tuple[Write, tuple[str, ...], bool]] = {
    "diffusers before 0.20": (before_0_20, (*ATTENTION, *TEXT), True),
    "diffusers": (lambda path, changes: tiny.write_diffusers(path, changes), (*ATTENTION, *TEXT), True),
    "kohya": (kohya(ONE, original=False), (*ATTENTION, *TEXT, "ff.net.2", "fc1"), True),
    "kohya, names of the original code": (kohya(ONE, original=True), (*ATTENTION, *TEXT), False),
    "locon": (kohya(ONE, original=False, dtype=torch.float16), (*ATTENTION, *CONVOLUTIONS), False),
}


@pytest.mark.parametrize("kind", SD15)
def test_a_layout_of_sd15(kind: str, engine15: DiffusersEngine, reference15: Any, tmp_path: Path) -> None:
    write, names, by_diffusers = SD15[kind]
    changes = changes_of(reference15, names, alpha=4.0 if kind.startswith("diffusers") else 2.0)
    path = write(tmp_path / "a.safetensors", changes)
    check(engine15, reference15, path, by_diffusers=by_diffusers, changes=changes)


def test_the_original_names_of_samplers_and_embeddings_are_found(engine15: DiffusersEngine, tmp_path: Path) -> None:
    """In SD 1.5 the blocks without attention put the sampler in the next place."""
    modules = engine15.info.modules["unet"]
    names = {
        "input_blocks_0_0": "conv_in", "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
        "output_blocks_2_1_conv": "up_blocks.0.upsamplers.0.conv", "time_embed_0": "time_embedding.linear_1",
        "time_embed_2": "time_embedding.linear_2", "out_2": "conv_out", "middle_block_1_proj_in":
        "mid_block.attentions.0.proj_in", "middle_block_2_in_layers_2": "mid_block.resnets.1.conv1",
        "input_blocks_4_0_skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    for original, name in names.items():
        out, inputs, *kernel = modules[name]
        tensors[f"lora_unet_{original}.lora_down.weight"] = torch.ones(2, inputs, *kernel)
        tensors[f"lora_unet_{original}.lora_up.weight"] = torch.ones(out, 2, *(1 for _ in kernel))
    path = _save(tmp_path / "a.safetensors", tensors)
    adapter = read(engine15, path)
    assert {slot.target.name for slot in adapter.slots} == set(names.values())  # type: ignore[attr-defined]


# ---- the wrong family ------------------------------------------------------------------------------------------


def test_an_adapter_of_each_family_is_told_from_the_others(
    engine: DiffusersEngine, engine15: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    changes = changes_of(reference, ATTENTION)
    xl = read_facts(read_header(kohya(XL, original=True)(tmp_path / "a.safetensors", changes)))
    flux = read_facts(read_header(_save(tmp_path / "b.safetensors", {
        "lora_unet_single_blocks_0_linear1.lora_down.weight": torch.ones(2, 8),
        "lora_unet_single_blocks_0_linear1.lora_up.weight": torch.ones(56, 2),
    })))  # fmt: skip
    assert flux.made_for is Family.FLUX
    for facts, other in ((xl, engine15), (flux, engine)):
        with pytest.raises(FactsError, match="trained for"):
            check_fits(facts, other.info.modules)
