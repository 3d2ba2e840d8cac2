"""Pipelines of diffusers that are refused by their names, before anything of them is read."""

from collections.abc import Mapping
from typing import Final

_STAGES: Final = "it is two pipelines with a denoiser each, and adapters name neither"
_PIXELS: Final = "it makes pictures of 64 pixels, and others enlarge them"
_EDITS: Final = "it begins with a picture, or several, and is not in the table of families"
_ONE_SIZE: Final = "it makes pictures of a million pixels, whatever size was asked for"
_SIZES: Final = "it makes pictures of seven sizes and takes every other for one of these"
_FTFY: Final = "it cleans prompts with ftfy, a package that the images do not have"
_GUARDRAIL: Final = "it runs with cosmos_guardrail alone, a package that the images do not have"
_VIDEO: Final = "it makes videos"

REFUSED: Final[Mapping[str, str]] = {
    name: reason
    for reason, names in {
        _STAGES: (
            "KandinskyCombinedPipeline",
            "KandinskyV22CombinedPipeline",
            "StableCascadeCombinedPipeline",
            "StableCascadePriorPipeline",
            "WuerstchenCombinedPipeline",
            "WuerstchenPriorPipeline",
        ),
        _PIXELS: ("IFPipeline", "IFSuperResolutionPipeline"),
        _EDITS: (
            "BriaFiboEditPipeline",
            "HunyuanImageRefinerPipeline",
            "JoyImageEditPipeline",
            "JoyImageEditPlusPipeline",
            "StableDiffusionXLInstructPix2PixPipeline",
        ),
        _ONE_SIZE: ("QwenImageEditInpaintPipeline",),
        _SIZES: ("Kandinsky5T2IPipeline",),
        _FTFY: ("PRXPipeline", "PRXPixelPipeline"),
        _GUARDRAIL: ("Cosmos2TextToImagePipeline",),
        _VIDEO: (
            "AnimateDiffVideoToVideoControlNetPipeline",
            "AnimateDiffVideoToVideoPipeline",
            "CogVideoXFunControlPipeline",
            "CogVideoXVideoToVideoPipeline",
            "LattePipeline",
            "SanaVideoPipeline",
            "TextToVideoZeroPipeline",
            "TextToVideoZeroSDXLPipeline",
            "WanVideoToVideoPipeline",
        ),
    }.items()
    for name in names
}
"""The class that a `model_index.json` names, and why it is not served."""
