"""The checker of content in a base's folder, of the base's own revision: safetensors only."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from torch import nn
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.checker.own import OwnChecker
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.files.read_ahead import CHECKER
from lorapool_runtime.errors import ModelError

_EXTRACTOR: Final = "feature_extractor"
_SIDE: Final = 64


def load_checker(
    folder: Path, label: str, dtype: torch.dtype, variant: str | None, accelerator: Accelerator
) -> OwnChecker:
    """The checker on the device, and once tried.

    Args:
        label: of the base, for messages.

    Raises:
        ModelError: the base brings none along, or one that cannot be used.
        torch.OutOfMemoryError, torch.AcceleratorError: what the device says.
    """
    index = json.loads((folder / "model_index.json").read_text())
    match index.get(CHECKER), index.get(_EXTRACTOR):
        case [_, "StableDiffusionSafetyChecker"], [_, "CLIPImageProcessor" | "CLIPFeatureExtractor"]:
            pass
        case _:
            raise ModelError(
                f"serving.safety.pipeline asks for the checker that {label} brings along, and it brings none "
                f"({CHECKER} and {_EXTRACTOR} of its model_index.json): name one by serving.safety.url"
            )
    try:
        model, extractor = _model(folder / CHECKER, dtype, variant), _extractor(folder / _EXTRACTOR)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
        raise ModelError(f"the checker of {label} cannot be loaded: {first_line(error)}") from error
    made = OwnChecker(model.to(accelerator.device), extractor, accelerator)
    made.flagged([Image.new("RGB", (_SIDE, _SIDE), (127, 127, 127))])
    return made


def _model(folder: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
    """Raises: ValueError: its files lack numbers, or hold such that compare with nothing."""
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    stored = variant if variant and (folder / f"model.{variant}.safetensors").is_file() else None
    loading: Any = StableDiffusionSafetyChecker.from_pretrained
    model, found = loading(str(folder), dtype=dtype, variant=stored, output_loading_info=True, **options)
    # Left to chance by the library, and a checker of chance lets all pass.
    if missing := sorted({*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])}):
        raise ValueError(f"its files lack {len(missing)} of its tensors, {missing[0][:100]} among them")
    if not _are_finite(model.parameters()):
        raise ValueError("it holds numbers that are not finite")
    made: nn.Module = model.eval().requires_grad_(False)
    return made


def _are_finite(tensors: Iterable[torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def _extractor(folder: Path) -> Any:
    """Pictures are scaled by Pillow: the other way needs torchvision."""
    reading: Any = CLIPImageProcessorPil.from_pretrained
    return reading(str(folder), local_files_only=True)
