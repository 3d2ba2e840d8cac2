"""Families that are less used than those of `table`, or came after them."""

from typing import Final

from lorapool_api.kinds.base_model import Dtype
from lorapool_runtime.engine.diffusers.families.traits import (
    FamilyDefaults,
    FamilyTraits,
    Guidance,
    Latents,
    Task,
)

_TEXT, _IMAGE = Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE
_BOTH: Final = ("text_encoder", "text_encoder_2")

_HUNYUAN_IMAGE: Final = FamilyTraits(
    name="HunyuanImage 2.1",
    pipelines={_TEXT: "HunyuanImagePipeline"},
    defaults=FamilyDefaults(steps=50, guidance_scale=3.5, side=2048),
    guidance=Guidance.GUIDER,
    side_multiple=32,
    text_encoders=_BOTH,
    is_sized=False,
    distilled=FamilyTraits(
        name="HunyuanImage 2.1 distilled",
        pipelines={_TEXT: "HunyuanImagePipeline"},
        defaults=FamilyDefaults(steps=8, guidance_scale=3.25, side=2048),
        guidance=Guidance.EMBEDDED,
        side_multiple=32,
        text_encoders=_BOTH,
        is_sized=False,
        negative_prompts=False,
    ),
)
NEWER: Final = (
    FamilyTraits("Lumina-Next", {_TEXT: "LuminaPipeline"}, FamilyDefaults(30, 4.0)),
    FamilyTraits("CogView3 Plus", {_TEXT: "CogView3PlusPipeline"}, FamilyDefaults(50, 5.0)),
    FamilyTraits(
        name="HunyuanDiT",
        pipelines={_TEXT: "HunyuanDiTPipeline"},
        defaults=FamilyDefaults(steps=50, guidance_scale=5.0),
        dtype=Dtype.FLOAT16,
        text_encoders=_BOTH,
    ),
    FamilyTraits("Bria 3", {_TEXT: "BriaPipeline"}, FamilyDefaults(30, 5.0), latents=Latents.PACKED),
    FamilyTraits(
        name="Kolors",
        pipelines={_TEXT: "KolorsPipeline", _IMAGE: "KolorsImg2ImgPipeline"},
        defaults=FamilyDefaults(steps=50, guidance_scale=5.0),
        dtype=Dtype.FLOAT16,
        side_multiple=8,
    ),
    _HUNYUAN_IMAGE,
    FamilyTraits("LongCat-Image", {_TEXT: "LongCatImagePipeline"}, FamilyDefaults(50, 4.5), latents=Latents.PACKED),
    FamilyTraits("Fibo", {_TEXT: "BriaFiboPipeline"}, FamilyDefaults(50, 5.0), latents=Latents.TOKENS),
    # It may look at pictures too; from text alone is what is served.
    FamilyTraits("Z-Image Omni", {_TEXT: "ZImageOmniPipeline"}, FamilyDefaults(50, 5.0)),
    # So may this one.
    FamilyTraits(
        name="Qwen-Image 2.1",
        pipelines={_TEXT: "QwenImage21Pipeline"},
        defaults=FamilyDefaults(steps=40, guidance_scale=1.0),
        guidance=Guidance.TRUE_SCALE,
        latents=Latents.TOKENS,
        side_multiple=32,
    ),
    FamilyTraits("Nucleus-Image", {_TEXT: "NucleusMoEImagePipeline"}, FamilyDefaults(50, 4.0), latents=Latents.PACKED),
    FamilyTraits("Fibo 2", {_TEXT: "BriaFibo2Pipeline"}, FamilyDefaults(30, 5.0)),
    # What guides it is a transformer without words, which no adapter changes.
    FamilyTraits(
        name="Ideogram 4",
        pipelines={_TEXT: "Ideogram4Pipeline"},
        defaults=FamilyDefaults(steps=48, guidance_scale=7.0, side=2048),
        latents=Latents.TOKENS,
        negative_prompts=False,
        is_sized=False,
    ),
)
