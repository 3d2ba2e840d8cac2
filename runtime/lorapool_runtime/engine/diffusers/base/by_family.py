"""What of loading a base depends on its family."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import diffusers
import structlog
import torch

from lorapool_api.kinds.base_model import Dtype
from lorapool_runtime.engine.diffusers.families.find import family_of, unlisted
from lorapool_runtime.engine.diffusers.families.refused import REFUSED
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits
from lorapool_runtime.engine.files.read_ahead import CHECKER
from lorapool_runtime.errors import ModelError

log = structlog.get_logger(__name__)

DTYPES: Final = {
    Dtype.FLOAT16: torch.float16,
    Dtype.BFLOAT16: torch.bfloat16,
    Dtype.FLOAT32: torch.float32,
}
# A language model that writes prompts anew: the same request would not give the same picture.
_WRITERS: Final = frozenset({"pe", "pe_tokenizer"})

# Their own loaders ask for torchvision, for videos.
_PICTURES: Final = ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor")


def family_in(folder: Path, index: Mapping[str, Any], name: str) -> FamilyTraits:
    """What the base is; of a class that the table does not have, what is true of most.

    Args:
        name: of its source.

    Raises:
        ModelError: the class is one of those that cannot be served.
    """
    kind = index["_class_name"]
    if (reason := REFUSED.get(kind)) is not None:
        raise ModelError(f"{kind} is not served: {reason}")
    denoisers = (folder / name / "config.json" for name in ("unet", "transformer"))
    config: dict[str, Any] = next((json.loads(path.read_text()) for path in denoisers if path.is_file()), {})
    if (found := family_of(index, config, name)) is not None:
        return found
    log.warning("this class of pipeline is in no table of families: only text-to-image is tried", pipeline=kind)
    return unlisted(kind)


def dtype_of(wanted: Dtype | None, family: FamilyTraits) -> torch.dtype:
    """What the pool says, or what bases of the family are usually had in."""
    if wanted is Dtype.FLOAT16 and family.dtype is not Dtype.FLOAT16:
        log.warning(
            "float16 is too narrow for this family: pictures may not be finite; bfloat16 is not", family=family.name
        )
    return DTYPES[wanted or family.dtype]


def trained_side(pipeline: Any) -> int | None:
    """Pixels of a side of the pictures that the base was trained with, by its configuration."""
    denoiser: Any = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    config = getattr(denoiser, "config", None)
    latents = getattr(pipeline, "default_sample_size", None) or getattr(config, "sample_size", None)
    factor = getattr(pipeline, "vae_scale_factor", None)
    return latents * factor if isinstance(latents, int) and isinstance(factor, int) else None


def load_options(folder: Path, index: dict[str, Any]) -> dict[str, Any]:
    """What this class of pipeline is loaded with: no checker of content, no watermark, nothing that writes prompts.

    Raises: ModelError: the folder's processor of pictures cannot be read.
    """
    options: dict[str, Any] = {}
    if CHECKER in index:
        options |= {CHECKER: None, "requires_safety_checker": False}
    if index["_class_name"].startswith("StableDiffusionXL"):
        options["add_watermarker"] = False
    options |= dict.fromkeys(_WRITERS & index.keys())
    for name, entry in index.items():
        match entry:
            case ["transformers", str(kind)] if kind in _PICTURES:
                options[name] = _processor(folder / name, kind)
    return options


def _processor(folder: Path, kind: str) -> Any:
    # Where no pipeline needs it, nothing of it is imported.
    from lorapool_runtime.engine.diffusers.families.processor import load_processor

    try:
        return load_processor(folder, kind)
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} holds no processor that can be read: {str(error)[:200]}") from error


def vae_class(index: Mapping[str, Any]) -> Any:
    """Of the pipeline's own VAE: families have classes of their own."""
    match index.get("vae"):
        case ["diffusers", str(name)] if isinstance(found := getattr(diffusers, name, None), type):
            return found
    return diffusers.AutoencoderKL
