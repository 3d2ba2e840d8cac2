"""The families that are served, the most used first. `tests/runtime/families` tries each on a tiny pipeline."""

from dataclasses import replace
from typing import Final

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.diffusers.families.traits import FamilyDefaults, FamilyTraits, Guidance, Latents, Task

_TEXT, _IMAGE, _MASK = Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE, Task.INPAINTING
_TWO: Final = ("text_encoder", "text_encoder_2")

_SD1: Final = FamilyTraits(
    name="SD 1.x",
    pipelines={
        _TEXT: "StableDiffusionPipeline",
        _IMAGE: "StableDiffusionImg2ImgPipeline",
        _MASK: "StableDiffusionInpaintPipeline",
    },
    defaults=FamilyDefaults(steps=25, guidance_scale=7.5, side=512, sampler=SchedulerName.EULER_A),
    dtype=Dtype.FLOAT16,
    side_multiple=8,
)
_SDXL: Final = FamilyTraits(
    name="SDXL",
    pipelines={
        _TEXT: "StableDiffusionXLPipeline",
        _IMAGE: "StableDiffusionXLImg2ImgPipeline",
        _MASK: "StableDiffusionXLInpaintPipeline",
    },
    defaults=FamilyDefaults(steps=25, guidance_scale=5.0, sampler=SchedulerName.EULER_A),
    dtype=Dtype.FLOAT16,
    side_multiple=8,
    text_encoders=_TWO,
)
_FLUX: Final = FamilyTraits(
    name="Flux.1",
    pipelines={_TEXT: "FluxPipeline", _IMAGE: "FluxImg2ImgPipeline", _MASK: "FluxInpaintPipeline"},
    defaults=FamilyDefaults(steps=28, guidance_scale=3.5),
    guidance=Guidance.EMBEDDED,
    latents=Latents.PACKED,
    text_encoders=_TWO,
)

SD2: Final = replace(_SD1, name="SD 2.x", defaults=replace(_SD1.defaults, side=768))
SDXL_REFINER: Final = replace(
    _SDXL,
    name="SDXL refiner",
    pipelines={task: name for task, name in _SDXL.pipelines.items() if task is not _TEXT},
    text_encoders=("text_encoder_2",),
)
FLUX_SCHNELL: Final = replace(_FLUX, name="Flux.1 schnell", defaults=FamilyDefaults(steps=4, guidance_scale=0.0))

FAMILIES: Final = (
    _SD1,
    _SDXL,
    replace(_SD1, name="SD 1.x inpainting", pipelines={_MASK: "StableDiffusionInpaintPipeline"}),
    replace(_SDXL, name="SDXL inpainting", pipelines={_MASK: "StableDiffusionXLInpaintPipeline"}),
    FamilyTraits(
        name="SD 3.x",
        pipelines={
            _TEXT: "StableDiffusion3Pipeline",
            _IMAGE: "StableDiffusion3Img2ImgPipeline",
            _MASK: "StableDiffusion3InpaintPipeline",
        },
        defaults=FamilyDefaults(steps=28, guidance_scale=7.0),
        text_encoders=(*_TWO, "text_encoder_3"),
    ),
    _FLUX,
    replace(
        _FLUX,
        name="Flux.1 Fill",
        pipelines={_MASK: "FluxFillPipeline"},
        defaults=FamilyDefaults(steps=50, guidance_scale=30.0),
    ),
    replace(
        _FLUX,
        name="Flux.1 Kontext",
        pipelines={_TEXT: "FluxKontextPipeline", _IMAGE: "FluxKontextPipeline", _MASK: "FluxKontextInpaintPipeline"},
        defaults=FamilyDefaults(steps=28, guidance_scale=2.5),
        edits=True,
    ),
)
"""By the class that a `model_index.json` names, the first that has it; `find` knows those that share a class."""
