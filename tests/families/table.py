"""The tiny pipeline of each family, and how diffusers' own pipeline is called for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from diffusers import FluxFillPipeline, FluxKontextPipeline

from tests import tiny, tiny_families
from tests.families import unets

ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class TinyFamily:
    """One family.

    Attributes:
        make: writes the pipeline to a folder.
        guided: by 3, as the pipeline's call has it.
        call: what else of the call differs from that of most.
        changed: endings of the modules that an adapter changes.
        scheduler: what the pipeline's own is replaced with, where the family is not sampled by its own.
    """

    make: Callable[[Path], Path]
    denoiser: str = "transformer"
    guided: Mapping[str, Any] = field(default_factory=lambda: {"guidance_scale": 3.0})
    call: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ATTENTION
    scheduler: str | None = None


_unet = partial(TinyFamily, denoiser="unet", scheduler="EulerAncestralDiscreteScheduler")
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
}
"""By the name in the table of traits."""
