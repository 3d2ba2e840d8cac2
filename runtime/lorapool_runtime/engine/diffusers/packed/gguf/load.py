"""A denoiser from a GGUF file, by diffusers' reader of checkpoints in one file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
from torch import nn

from lorapool_runtime.engine.diffusers.packed.gguf.file import tensors_of
from lorapool_runtime.engine.diffusers.packed.packing import settle
from lorapool_runtime.engine.diffusers.packed.weights import is_packed, plain
from lorapool_runtime.errors import ModelError

SUFFIX: Final = ".gguf"
DENOISERS: Final = ("transformer", "unet")


def load_denoiser(
    file: Path, folder: Path, index: Mapping[str, Any], dtype: torch.dtype, device: torch.device
) -> dict[str, nn.Module]:
    """The denoiser by its name in the pipeline, its weights of few bits on the device as the file has them.

    What is computed with them is of `dtype`; so is what the file has whole, and what is of no Linear.

    Args:
        folder: of the pipeline, with the denoiser's configuration.
        index: the pipeline's `model_index.json`.

    Raises:
        ModelError: a file that cannot be read, or is not of this denoiser.
        Whatever diffusers says of weights that are not those of this configuration.
    """
    name = next((name for name in DENOISERS if index.get(name)), None)
    kind: Any = getattr(diffusers, str(index[name][1]), None) if name is not None else None
    if name is None or not hasattr(kind, "from_single_file"):
        raise ModelError(f"diffusers reads no denoiser of {index['_class_name']} from a file: name a folder")
    try:
        tensors = tensors_of(file)
        module: nn.Module = kind.from_single_file(
            tensors,
            config=str(folder),
            subfolder=name,
            local_files_only=True,
            dtype=dtype,
            device=str(device),
            quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype),
        )
    except ImportError as error:
        raise ModelError(
            f"{file} needs gguf, which this image does not have: take one that was built with the packages of "
            "lorapool[quantized]"
        ) from error
    except NotImplementedError as error:  # what the file lacks is still empty, and goes to no device
        raise ModelError(f"{file} lacks weights of the {name} that {folder} describes") from error
    _settle(module, dtype)
    return {name: module}


def _settle(module: nn.Module, dtype: torch.dtype) -> None:
    """Its Linears multiply with packed weights as any packed base does; all else is whole."""
    from diffusers.quantizers.gguf.utils import GGUFLinear

    for part in module.modules():
        own: dict[str, Any] = part._parameters
        for key, parameter in own.items():
            if parameter is None or not is_packed(parameter):
                continue
            parameter.compute_dtype = dtype
            if not isinstance(part, GGUFLinear) or key != "weight":
                own[key] = nn.Parameter(plain(parameter), requires_grad=False)
        if isinstance(part, GGUFLinear):
            _check_shape(part)
            part.__class__ = nn.Linear
            settle(part)


def _check_shape(linear: Any) -> None:
    """Bytes of one shape may be numbers of another. Raises: ModelError."""
    shape = tuple(getattr(linear.weight, "quant_shape", linear.weight.shape))
    if shape != (linear.out_features, linear.in_features):
        raise ModelError(f"a weight of ({linear.out_features}, {linear.in_features}) comes as one of {shape}")
