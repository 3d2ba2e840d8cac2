"""The tiny pipeline of each family, and how diffusers' own pipeline is called for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from diffusers import FluxFillPipeline, FluxKontextPipeline, QwenImageEditPlusPipeline

from lorapool_runtime.engine.diffusers.families.traits import Task
from tests import tiny, tiny_families
from tests.families import edits, older, readers, smaller, transformers, unets
from tests.families.newer import others, qwen3

ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class TinyFamily:
    """One family.

    Attributes:
        make: writes the pipeline to a folder.
        guided: by 3, as the pipeline's call has it.
        call: what else of the call differs from that of most.
        changed: endings of the modules that an adapter changes.
        alpha: how strongly it does so: random weights hear less of it in some families.
        side: of the picture in pixels; pipelines that look at a picture ask for 64.
        scheduler: what the pipeline's own is replaced with, where the family is not sampled by its own.
        attributes: of diffusers' own pipeline: without them it makes another size, or guides otherwise.
        without_loader: tasks whose pipeline has a loader of adapters that fails.
    """

    make: Callable[[Path], Path]
    denoiser: str = "transformer"
    guided: Mapping[str, Any] = field(default_factory=lambda: {"guidance_scale": 3.0})
    call: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ATTENTION
    alpha: float = 16.0
    side: int = tiny.SIZE
    scheduler: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    without_loader: tuple[Task, ...] = ()


# Stronger, rounding of float32 would grow to what can be seen.
_unet = partial(TinyFamily, denoiser="unet", scheduler="EulerAncestralDiscreteScheduler", alpha=4.0)
# Their pipelines would choose another size, and scale the picture.
_exact_size: Final = {"use_resolution_binning": False}
_flux2 = partial(TinyFamily, alpha=64.0, side=64)
_qwen_edit = partial(TinyFamily, guided={"true_cfg_scale": 3.0}, call={"negative_prompt": " "}, alpha=64.0, side=64)
_flux = tiny_families.make_flux_pipeline

TINY: Final[Mapping[str, TinyFamily]] = {
    "SD 1.x": _unet(tiny_families.make_sd15),
    "SD 1.x inpainting": _unet(unets.make_sd15_inpainting),
    "SD 2.x": _unet(unets.make_sd2),
    "SDXL": _unet(tiny.make_pipeline),
    "SDXL refiner": _unet(unets.make_refiner),
    "SDXL inpainting": _unet(unets.make_xl_inpainting),
    "SD 3.x": TinyFamily(tiny_families.make_sd3_pipeline),
    "Flux.1": TinyFamily(_flux),
    "Flux.1 schnell": TinyFamily(partial(_flux, guidance_embeds=False)),
    "Flux.1 Fill": TinyFamily(partial(_flux, kind=FluxFillPipeline, channels=48, out_channels=16)),
    "Flux.1 Kontext": TinyFamily(
        partial(_flux, kind=FluxKontextPipeline), call={"max_area": tiny.SIZE**2, "_auto_resize": False}
    ),
    "Qwen-Image": TinyFamily(
        transformers.make_qwen_image, guided={"true_cfg_scale": 3.0}, call={"negative_prompt": " "}, alpha=64.0
    ),
    "Qwen-Image-Edit": _qwen_edit(edits.make_qwen_edit),
    "Qwen-Image-Edit Plus": _qwen_edit(partial(edits.make_qwen_edit, kind=QwenImageEditPlusPipeline)),
    "Z-Image": TinyFamily(transformers.make_z_image),
    "Flux.2": _flux2(transformers.make_flux2),
    "Flux.2 klein base": _flux2(transformers.make_klein),
    "Flux.2 klein": _flux2(partial(transformers.make_klein, is_distilled=True)),
    "Chroma": TinyFamily(transformers.make_chroma),
    "PixArt-Sigma": TinyFamily(smaller.make_pixart, call=_exact_size),
    "Sana": TinyFamily(smaller.make_sana, call=_exact_size, changed=("to_q", "to_k", "to_v")),
    "Lumina 2": TinyFamily(smaller.make_lumina2, side=64),
    "AuraFlow": TinyFamily(smaller.make_auraflow, changed=(*ATTENTION, "linear_1", "out_projection"), alpha=64.0),
    "CogView4": TinyFamily(smaller.make_cogview4),
    "Krea 2": TinyFamily(readers.make_krea2, alpha=64.0),
    "Krea 2 turbo": TinyFamily(partial(readers.make_krea2, is_distilled=True), alpha=64.0),
    "HiDream": TinyFamily(
        readers.make_hidream,
        changed=("to_q", "to_k", "to_v", "to_out"),
        attributes={"default_sample_size": tiny.SIZE // 2},
    ),
    "Ovis-Image": TinyFamily(readers.make_ovis),
    "ERNIE-Image": TinyFamily(readers.make_ernie),
    "LCM": TinyFamily(older.make_lcm, denoiser="unet", alpha=4.0),
    "PixArt-Alpha": TinyFamily(older.make_pixart_alpha, call=_exact_size),
    "Sana Sprint": TinyFamily(
        older.make_sana_sprint,
        call=_exact_size | {"intermediate_timesteps": None},
        changed=("to_q", "to_k", "to_v"),
    ),
    "Lumina-Next": TinyFamily(older.make_lumina, side=64),
    "CogView3 Plus": TinyFamily(older.make_cogview3),
    "HunyuanDiT": TinyFamily(older.make_hunyuan_dit, side=64, call=_exact_size),
    "Bria 3": TinyFamily(older.make_bria),
    # Its loader asks for a second text encoder.
    "Kolors": TinyFamily(others.make_kolors, denoiser="unet", alpha=4.0, without_loader=(Task.IMAGE_TO_IMAGE,)),
    "HunyuanImage 2.1": TinyFamily(others.make_hunyuan_image, guided={}, attributes={"guider": others.guider(3.0)}),
    "HunyuanImage 2.1 distilled": TinyFamily(
        partial(others.make_hunyuan_image, is_distilled=True), guided={"distilled_guidance_scale": 3.0}
    ),
    "LongCat-Image": TinyFamily(others.make_longcat, call={"enable_prompt_rewrite": False}),
    "Fibo": TinyFamily(others.make_fibo),
    "Z-Image Omni": TinyFamily(others.make_z_image_omni),
    "Qwen-Image 2.1": TinyFamily(
        qwen3.make_qwen_image_21,
        guided={"true_cfg_scale": 3.0},
        call={"negative_prompt": " "},
        alpha=64.0,
        side=64,
    ),
    "Nucleus-Image": TinyFamily(qwen3.make_nucleus, alpha=64.0),
    "Fibo 2": TinyFamily(qwen3.make_fibo_2, alpha=64.0),
    "Ideogram 4": TinyFamily(qwen3.make_ideogram, alpha=64.0, call={"guidance_schedule": None}),
}
"""By the name in the table of traits."""
