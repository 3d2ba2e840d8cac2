"""A base in one file: weights as people share them, and beside it a folder that says what they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from lorapool_runtime.engine.diffusers.base.mapped import MappedFile
from lorapool_runtime.errors import ModelError


def load_single_file(
    file: Path, config: Path, index: Mapping[str, Any], dtype: torch.dtype, options: Mapping[str, Any]
) -> Any:
    """The pipeline that `index` names. Nothing is asked of the network.

    Args:
        config: a folder of diffusers with the configurations, and with the components that the file lacks.
        options: components that are loaded already, and settings of the pipeline.

    Raises:
        ModelError: no safetensors file, or a family that diffusers cannot read so.
        Whatever diffusers says of weights that are not those of this configuration.
    """
    kind: Any = getattr(diffusers, index["_class_name"])
    if not hasattr(kind, "from_single_file"):
        raise ModelError(f"diffusers reads no {index['_class_name']} from one file: name a folder or a repository")
    MappedFile(file)  # its header is looked at before a library is
    return kind.from_single_file(str(file), config=str(config), local_files_only=True, dtype=dtype, **options)
