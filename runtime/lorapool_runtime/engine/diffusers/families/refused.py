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
_TORCHVISION: Final = "it reads prompts with torchvision, a package that the images do not have"
_WRITES_FIRST: Final = "a language model of it writes a sketch first, token by token, one for all pictures of a batch"
_ALONE: Final = "its pipeline takes one prompt at a time, and nothing ends it between two steps"
_NO_LOADER: Final = "diffusers loads no adapter into its UNet"
_CODEBOOK: Final = "it guesses entries of a codebook, where a sampler would remove noise"
_DEPRECATED: Final = "diffusers has deprecated it, and mends it no more"
_OTHER_NAMES: Final = "its text encoder and its VAE have other names than a pool's adapters and settings know"
_TWO_AT_ONCE: Final = "one denoiser of it makes pictures and texts"

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
        _TORCHVISION: ("OmniGenPipeline",),
        _WRITES_FIRST: ("GlmImagePipeline",),
        _ALONE: ("DreamLitePipeline", "DreamLiteMobilePipeline"),
        _NO_LOADER: ("Kandinsky3Pipeline",),
        _CODEBOOK: ("AmusedPipeline",),
        _DEPRECATED: ("AltDiffusionPipeline", "VersatileDiffusionTextToImagePipeline"),
        _OTHER_NAMES: ("LDMTextToImagePipeline",),
        _TWO_AT_ONCE: ("UniDiffuserPipeline",),
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
