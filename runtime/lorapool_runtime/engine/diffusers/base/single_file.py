"""A base in one file: weights as people share them, and beside it a folder that says what they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import SingleFileComponentError
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.sources import HubModel, ModelSource
from lorapool_runtime.engine.diffusers.base.hub import hub_trouble
from lorapool_runtime.engine.diffusers.base.mapped import MappedFile
from lorapool_runtime.engine.diffusers.packed.gguf.load import DENOISERS, SUFFIX
from lorapool_runtime.engine.files.revision import file_revision, folder_size_bytes
from lorapool_runtime.errors import ModelError


def single_file(spec: BaseModelSpec) -> Path | None:
    """The file that the base is; None where it is a pipeline's folder. Raises: ModelError where it is not there."""
    if not spec.is_single_file:
        return None
    hub = spec.source.hub
    file = Path(str(spec.source.path)) if hub is None else _of_hub(hub, str(spec.file))
    if not file.is_file():
        raise ModelError(f"{file} does not exist in the pod: mount the model there, or name another path")
    if not is_denoiser(file):
        MappedFile(file)  # its header is looked at before a library is
    return file


def is_denoiser(file: Path) -> bool:
    """Whether it holds a denoiser alone: all else of the pipeline is that of its configuration."""
    return file.suffix == SUFFIX


def _of_hub(hub: HubModel, name: str) -> Path:
    """That file alone of the repository, in the Hub's cache. Raises: ModelError."""
    try:
        return Path(hf_hub_download(hub.repo, name, revision=hub.revision))
    except EntryNotFoundError as error:
        raise ModelError(f"{hub.repo} at {hub.revision} has no file {name}") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        trouble = (
            hub_trouble(hub, error) or f"{name} of {hub.repo} at {hub.revision} cannot be had from the Hub: {error}"
        )
        raise ModelError(trouble) from error


def configuration(spec: BaseModelSpec) -> ModelSource:
    """Where the folder of the pipeline comes from that says what the file is. Raises: ModelError."""
    if spec.config is None:
        raise ModelError(f"{spec.label} is one file: name a pipeline of its family in model.config")
    return spec.config


def load_single_file(
    file: Path, config: Path, index: Mapping[str, Any], dtype: torch.dtype, options: Mapping[str, Any]
) -> Any:
    """The pipeline that `index` names. Nothing is asked of the network.

    Args:
        config: a pipeline's folder with the configurations, and with the components that the file lacks.
        options: components that are loaded already, and settings of the pipeline.

    Raises:
        ModelError: a family that diffusers cannot read so, or a component that neither has.
        Whatever diffusers says of weights that are not those of this configuration.
    """
    kind: Any = getattr(diffusers, index["_class_name"])
    if not hasattr(kind, "from_single_file"):
        raise ModelError(f"diffusers reads no {index['_class_name']} from one file: name a folder or a repository")
    try:
        return kind.from_single_file(str(file), config=str(config), local_files_only=True, dtype=dtype, **options)
    except SingleFileComponentError as error:
        raise ModelError(f"{file} lacks a component, and so does model.config: {error}") from error


def revision_of(file: Path, config: Path) -> tuple[str, int]:
    """40 hexadecimal digits over the file and its configuration; the size in bytes of the file, and of the pipeline
    where the file is its denoiser alone."""
    size_bytes = file.stat().st_size
    if is_denoiser(file):
        size_bytes += folder_size_bytes(config) - sum(folder_size_bytes(config / name) for name in DENOISERS)
    return file_revision(file, config), size_bytes
