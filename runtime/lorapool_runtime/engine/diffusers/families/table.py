"""The families that are served, the most used first. `tests/runtime/families` tries each on a tiny pipeline."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.wire.request import MAX_IMAGES_BESIDE
from lorapool_api.wire.weighting import blocks
from lorapool_runtime.engine.diffusers.families.newer import NEWER
from lorapool_runtime.engine.diffusers.families.traits import (
    ControlNets,
    FamilyDefaults,
    FamilyTraits,
    Guidance,
    Latents,
    Places,
    Task,
)

_TEXT, _IMAGE, _MASK = Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE, Task.INPAINTING
_SEVERAL: Final = 1 + MAX_IMAGES_BESIDE
_UNETS_SHAPE: Final = (
    *("block_out_channels", "cross_attention_dim", "in_channels", "layers_per_block", "addition_embed_type"),
)
_HEADS: Final = ("in_channels", "num_attention_heads", "attention_head_dim")
_TWO: Final = ("text_encoder", "text_encoder_2")


def _with_distilled(family: FamilyTraits, name: str, defaults: FamilyDefaults) -> FamilyTraits:
    """The family, some of whose bases were distilled; their samplers are those of the family."""
    few = replace(defaults, side=family.defaults.side, sampler=family.defaults.sampler)
    return replace(family, distilled=replace(family, name=name, defaults=few))


def _of_unets(prefix: str) -> ControlNets:
    """A ControlNet adds to the states of each block."""
    ends = {_TEXT: "", _IMAGE: "Img2Img", _MASK: "Inpaint"}
    pipelines = {task: f"{prefix}ControlNet{end}Pipeline" for task, end in ends.items()}
    return ControlNets(pipelines, "ControlNetModel", "MultiControlNetModel", alike=_UNETS_SHAPE)


def _of_transformers(prefix: str, pipelines: Mapping[Task, str]) -> ControlNets:
    """A ControlNet adds to the states between blocks, however many it has itself."""
    return ControlNets(pipelines, f"{prefix}ControlNetModel", f"{prefix}MultiControlNetModel", alike=_HEADS)


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
    controlled=_of_unets("StableDiffusion"),
    image_prompts=True,
    places=Places.GRID,
    blocks=blocks.SD,
)
SD2: Final = _with_distilled(
    replace(_SD1, name="SD 2.x", defaults=replace(_SD1.defaults, side=768)), "SD turbo", FamilyDefaults(4, 0.0)
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
    controlled=_of_unets("StableDiffusionXL"),
    image_prompts=True,
    places=Places.GRID,
    blocks=blocks.SDXL,
)
SDXL_REFINER: Final = replace(
    _SDXL,
    name="SDXL refiner",
    pipelines={task: name for task, name in _SDXL.pipelines.items() if task is not _TEXT},
    text_encoders=("text_encoder_2",),
    controlled=None,
    image_prompts=False,
    blocks=None,  # its UNet has levels that no list is for
)
_SD3: Final = FamilyTraits(
    name="SD 3.x",
    pipelines={
        _TEXT: "StableDiffusion3Pipeline",
        _IMAGE: "StableDiffusion3Img2ImgPipeline",
        _MASK: "StableDiffusion3InpaintPipeline",
    },
    defaults=FamilyDefaults(steps=28, guidance_scale=7.0),
    text_encoders=(*_TWO, "text_encoder_3"),
    places=Places.TEXT_FIRST,
    controlled=_of_transformers("SD3", {_TEXT: "StableDiffusion3ControlNetPipeline"}),
)
_FLUX: Final = FamilyTraits(
    name="Flux.1",
    pipelines={_TEXT: "FluxPipeline", _IMAGE: "FluxImg2ImgPipeline", _MASK: "FluxInpaintPipeline"},
    defaults=FamilyDefaults(steps=28, guidance_scale=3.5),
    guidance=Guidance.EMBEDDED,
    latents=Latents.PACKED,
    text_encoders=_TWO,
    negative_prompts=False,
    image_prompts=True,
    places=Places.TEXT_FIRST,
    cached=(_TEXT,),
    controlled=_of_transformers(
        "Flux",
        {
            _TEXT: "FluxControlNetPipeline",
            _IMAGE: "FluxControlNetImg2ImgPipeline",
            _MASK: "FluxControlNetInpaintPipeline",
        },
    ),
)
_FLUX_ALONE: Final = replace(_FLUX, image_prompts=False, controlled=None, cached=())
_QWEN_IMAGE: Final = FamilyTraits(
    name="Qwen-Image",
    pipelines={
        _TEXT: "QwenImagePipeline",
        _IMAGE: "QwenImageImg2ImgPipeline",
        _MASK: "QwenImageInpaintPipeline",
    },
    defaults=FamilyDefaults(steps=50, guidance_scale=4.0),
    guidance=Guidance.TRUE_SCALE,
    latents=Latents.PACKED,
    places=Places.TEXT_FIRST,
    controlled=replace(_of_transformers("QwenImage", {_TEXT: "QwenImageControlNetPipeline"}), several=None),
    cached=(_TEXT, _IMAGE, _MASK),
)
# They look at pictures in the text encoder too.
_QWEN_IMAGE_EDIT: Final = replace(
    _QWEN_IMAGE,
    name="Qwen-Image-Edit",
    pipelines={_IMAGE: "QwenImageEditPipeline"},
    edits=True,
    controlled=None,
    places=None,
)
_QWEN_IMAGE_EDIT_PLUS: Final = replace(
    _QWEN_IMAGE_EDIT,
    name="Qwen-Image-Edit Plus",
    pipelines={_IMAGE: "QwenImageEditPlusPipeline"},
    defaults=FamilyDefaults(40, 4.0),
    most_pictures=_SEVERAL,
)
_Z_IMAGE: Final = FamilyTraits(
    "Z-Image",
    {_TEXT: "ZImagePipeline", _IMAGE: "ZImageImg2ImgPipeline", _MASK: "ZImageInpaintPipeline"},
    FamilyDefaults(steps=50, guidance_scale=4.0),
)
# Above 1 klein's guidance is classifier-free against an empty prompt.
_KLEIN: Final = FamilyTraits(
    "Flux.2 klein base",
    {_TEXT: "Flux2KleinPipeline", _IMAGE: "Flux2KleinPipeline", _MASK: "Flux2KleinInpaintPipeline"},
    FamilyDefaults(steps=50, guidance_scale=4.0),
    latents=Latents.PACKED,
    negative_prompts=False,
    edits=True,
    most_pictures=_SEVERAL,
)
_FLUX2_TASKS: Final = {_TEXT: "Flux2Pipeline", _IMAGE: "Flux2Pipeline"}
_FLUX2: Final = replace(_KLEIN, name="Flux.2", pipelines=_FLUX2_TASKS, guidance=Guidance.EMBEDDED)
# Its guidance counts from 0: 4.5 is what is 5.5 with most.
_KREA2: Final = FamilyTraits(
    "Krea 2", {_TEXT: "Krea2Pipeline"}, FamilyDefaults(steps=28, guidance_scale=4.5), latents=Latents.PACKED
)

FAMILIES: Final = (
    _SD1,
    _with_distilled(_SDXL, "SDXL turbo", FamilyDefaults(4, 0.0)),
    replace(_SD1, name="SD 1.x inpainting", pipelines={_MASK: "StableDiffusionInpaintPipeline"}, controlled=None),
    replace(_SDXL, name="SDXL inpainting", pipelines={_MASK: "StableDiffusionXLInpaintPipeline"}, controlled=None),
    _with_distilled(_SD3, "SD 3.x turbo", FamilyDefaults(4, 0.0)),
    _with_distilled(_FLUX, "Flux.1 schnell", FamilyDefaults(4, 0.0)),
    replace(
        _FLUX_ALONE,
        name="Flux.1 Fill",
        pipelines={_MASK: "FluxFillPipeline"},
        defaults=FamilyDefaults(50, 30.0),
    ),
    replace(
        _FLUX_ALONE,
        name="Flux.1 Kontext",
        pipelines={_TEXT: "FluxKontextPipeline", _IMAGE: "FluxKontextPipeline", _MASK: "FluxKontextInpaintPipeline"},
        defaults=FamilyDefaults(28, 2.5),
        edits=True,
        places=None,
    ),
    _QWEN_IMAGE,
    _QWEN_IMAGE_EDIT,
    _QWEN_IMAGE_EDIT_PLUS,
    _with_distilled(_Z_IMAGE, "Z-Image turbo", FamilyDefaults(9, 0.0)),
    _FLUX2,
    _with_distilled(_KLEIN, "Flux.2 klein", FamilyDefaults(4, 1.0)),
    # Its inpainting of diffusers 0.42 asks for a key that its configuration does not have.
    FamilyTraits(
        name="Chroma",
        pipelines={_TEXT: "ChromaPipeline", _IMAGE: "ChromaImg2ImgPipeline"},
        defaults=FamilyDefaults(steps=35, guidance_scale=5.0),
        latents=Latents.PACKED,
    ),
    FamilyTraits("PixArt-Sigma", {_TEXT: "PixArtSigmaPipeline"}, FamilyDefaults(20, 4.5), Dtype.FLOAT16),
    FamilyTraits("Sana", {_TEXT: "SanaPipeline"}, FamilyDefaults(20, 4.5), side_multiple=32),
    FamilyTraits("Lumina 2", {_TEXT: "Lumina2Pipeline"}, FamilyDefaults(30, 4.0)),
    # The size in its configuration is half of what it was trained for.
    FamilyTraits("AuraFlow", {_TEXT: "AuraFlowPipeline"}, FamilyDefaults(50, 3.5), Dtype.FLOAT16, is_sized=False),
    FamilyTraits("CogView4", {_TEXT: "CogView4Pipeline"}, FamilyDefaults(50, 5.0), cached=(_TEXT,)),
    _with_distilled(_KREA2, "Krea 2 turbo", FamilyDefaults(8, 0.0)),
    FamilyTraits(
        name="HiDream",
        pipelines={_TEXT: "HiDreamImagePipeline"},
        defaults=FamilyDefaults(steps=50, guidance_scale=5.0),
        text_encoders=(*_TWO, "text_encoder_3", "text_encoder_4"),
        scales_sizes=True,
    ),
    FamilyTraits("Ovis-Image", {_TEXT: "OvisImagePipeline"}, FamilyDefaults(50, 5.0), latents=Latents.PACKED),
    FamilyTraits("ERNIE-Image", {_TEXT: "ErnieImagePipeline"}, FamilyDefaults(50, 4.0)),
    FamilyTraits(
        name="LCM",
        pipelines={_TEXT: "LatentConsistencyModelPipeline", _IMAGE: "LatentConsistencyModelImg2ImgPipeline"},
        defaults=FamilyDefaults(steps=4, guidance_scale=8.5, side=768),
        dtype=Dtype.FLOAT16,
        guidance=Guidance.EMBEDDED,
        side_multiple=8,
        negative_prompts=False,
    ),
    # With one step its pipeline takes the sampler for that of a distilled base.
    FamilyTraits("PixArt-Alpha", {_TEXT: "PixArtAlphaPipeline"}, FamilyDefaults(20, 4.5), Dtype.FLOAT16, least_steps=2),
    FamilyTraits(
        name="Sana Sprint",
        pipelines={_TEXT: "SanaSprintPipeline", _IMAGE: "SanaSprintImg2ImgPipeline"},
        defaults=FamilyDefaults(steps=2, guidance_scale=4.5),
        guidance=Guidance.EMBEDDED,
        side_multiple=32,
        negative_prompts=False,
    ),
    *NEWER,
)
"""By the class that a `model_index.json` names, the first that has it; `find` knows those that share a class."""
