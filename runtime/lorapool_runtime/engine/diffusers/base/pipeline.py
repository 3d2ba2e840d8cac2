"""Loading a base: a diffusers pipeline from a folder or the Hub, safetensors only, without code of its own."""

import json
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, assert_never

import structlog
import torch
from diffusers import DiffusionPipeline

from lorapool_api.kinds.base_model import BaseModelSpec, Offload
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.sources import HubModel, ModelSource, PathSource, UnknownSource
from lorapool_runtime.engine.contract import Progress
from lorapool_runtime.engine.diffusers.base.assemble import assemble
from lorapool_runtime.engine.diffusers.base.by_family import (
    dtype_of,
    family_in,
    load_options,
    trained_side,
    vae_class,
)
from lorapool_runtime.engine.diffusers.base.controls import load_controls, size_bytes_of
from lorapool_runtime.engine.diffusers.base.converted import LoadOptions
from lorapool_runtime.engine.diffusers.base.hub import first_line, hub_trouble, snapshot
from lorapool_runtime.engine.diffusers.base.single_file import (
    configuration,
    is_denoiser,
    load_single_file,
    revision_of,
    single_file,
)
from lorapool_runtime.engine.diffusers.base.streamed.streamer import is_streamed
from lorapool_runtime.engine.diffusers.families.find import sized
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits
from lorapool_runtime.engine.diffusers.packed.gguf.load import DENOISERS, load_denoiser
from lorapool_runtime.engine.diffusers.packed.packing import Packing, packing_of
from lorapool_runtime.engine.diffusers.packed.stored import check_dtypes, check_skipped, check_stored
from lorapool_runtime.engine.files.read_ahead import CHECKER
from lorapool_runtime.engine.files.revision import folder_revision, folder_size_bytes
from lorapool_runtime.errors import ModelError

log = structlog.get_logger(__name__)

# SDXL's own VAE overflows in float16 and makes black images.
_SDXL_FP16_VAE: Final = HubModel(repo="madebyollin/sdxl-vae-fp16-fix")
# The last is a folder of diffusers.
_LIBRARIES: Final = {"diffusers", "transformers", "kolors"}
# What an adapter can change; the names that files use.
COMPONENTS: Final = ("unet", "transformer", "text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline on its device, its weights of that dtype.

    Attributes:
        size_bytes: of its files of weights, and of its controls.
        controls: what pictures of requests control it with, by name.
        folder: where its `model_index.json` lies.
        files_s: how long it took until its files were on the disk.
    """

    pipeline: Any
    family: FamilyTraits
    dtype: torch.dtype
    revision: str
    size_bytes: int
    folder: Path
    files_s: float = 0.0
    controls: Mapping[str, Any] = field(default_factory=dict)


def load_pipeline(
    spec: BaseModelSpec, device: Device, progress: Progress, *, with_checker: bool = False
) -> LoadedPipeline:
    """Load the base model.

    Args:
        with_checker: whether the files of its own checker of content are wanted too.

    Raises:
        ModelError: says what was found and what was expected.
        torch.OutOfMemoryError, torch.AcceleratorError: what the device says.
    """
    _check_device(device)
    _quieten()
    began = time.monotonic()
    file = single_file(spec)
    alone = file is not None and is_denoiser(file)
    without = (*(DENOISERS if alone else ()), *(() if with_checker else (CHECKER,)))
    folder = _folder(spec.source if file is None else configuration(spec), without)
    files_s = time.monotonic() - began
    index = _index(folder)
    family = family_in(folder, index, spec.label)
    dtype = dtype_of(spec.dtype, family)
    options = load_options(folder, index) | _vae(spec, index, dtype)
    variant = spec.source.hub.variant if spec.source.hub else None
    if variant:
        options["variant"] = variant
    packing = packing_of(spec.quantization)
    for name in DENOISERS if alone else ():
        if index.get(name):
            check_skipped(name, spec.quantization)
    elsewhere = {*options, *DENOISERS} if alone else options
    check_stored(folder, {n: e for n, e in index.items() if n not in elsewhere}, spec.quantization)
    # What is offloaded stays in host memory until its modules are what they will be.
    place = torch.device(device.value if spec.offload is Offload.NONE else "cpu")
    target = LoadOptions(dtype, place, variant, packing, streamed=is_streamed(spec))
    assembled: Mapping[str, torch.nn.Module] = {}
    try:
        if file is not None and alone:
            options |= load_denoiser(file, folder, index, dtype, place)
        if file is not None and not alone:
            pipeline = load_single_file(file, folder, index, dtype, options)
        else:
            assembled = assemble(folder, {n: e for n, e in index.items() if n not in options}, target, progress)
            pipeline = _from_folder(folder, dtype, options | assembled)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
        raise ModelError(f"{spec.label} cannot be loaded: {first_line(error)}") from error
    _pack(pipeline, packing, assembled, target)
    _settle(pipeline, place)
    controls = load_controls(spec.controls, pipeline, family, dtype)
    revision = folder.name if spec.source.hub else folder_revision(folder)
    size_bytes = folder_size_bytes(folder)
    if file is not None:
        revision, size_bytes = revision_of(file, folder)
    family = sized(family, trained_side(pipeline))
    size_bytes += size_bytes_of(controls)
    return LoadedPipeline(pipeline, family, dtype, revision, size_bytes, folder, files_s, controls)


def _from_folder(folder: Path, dtype: torch.dtype, options: Mapping[str, Any]) -> Any:
    return DiffusionPipeline.from_pretrained(
        str(folder), dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False, **options
    )


def _check_device(device: Device) -> None:
    if device is Device.CUDA and not torch.cuda.is_available():
        raise ModelError("the pool asks for device cuda, but this pod sees no CUDA device")
    if device is Device.CUDA and (count := torch.cuda.device_count()) > 1:
        log.warning("only the first CUDA device is used; give each pod one, and the pool more replicas", devices=count)


def _quieten() -> None:
    """Progress bars are for terminals; a pod's log takes events."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)


def _folder(source: ModelSource, without: Collection[str]) -> Path:
    """The pipeline's; of the Hub, the weights of the components `without` are not fetched."""
    match source.value:
        case HubModel() as hub:
            return snapshot(hub, without)
        case PathSource(path):
            if not (folder := Path(path)).is_dir():
                raise ModelError(f"{folder} does not exist in the pod: mount the model there, or name another path")
            return folder
        case UnknownSource():
            raise ModelError("the base model's source is none that this version of the runtime knows")
        case other:
            assert_never(other)


def _index(folder: Path) -> dict[str, Any]:
    """The pipeline's `model_index.json`, which names nothing but classes of the libraries."""
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{folder} is no diffusers pipeline: it holds no model_index.json") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise ModelError(f"{path} does not name the class of a pipeline of diffusers")
    for name, entry in index.items():
        if name == CHECKER:
            continue
        if isinstance(entry, list) and len(entry) == 2 and entry[0] is not None and entry[0] not in _LIBRARIES:
            raise ModelError(f"{path}: {name} comes from {str(entry[0])[:80]!r}; code of a model is never run")
    return index


def _vae(spec: BaseModelSpec, index: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The VAE to load instead of the pipeline's own, if any."""
    source = spec.vae
    is_sdxl = index["_class_name"].startswith("StableDiffusionXL")
    if source is None and spec.source.hub and is_sdxl and dtype is torch.float16:
        source = ModelSource(hub=_SDXL_FP16_VAE)
    if source is None:
        return {}
    revision = {"revision": source.hub.revision, "variant": source.hub.variant} if source.hub else {}
    try:
        vae = vae_class(index).from_pretrained(source.label, dtype=dtype, use_safetensors=True, **revision)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        why = (source.hub and hub_trouble(source.hub, error)) or first_line(error)
        raise ModelError(f"the VAE {source.label} cannot be loaded: {why}") from error
    return {"vae": vae}


def _pack(pipeline: Any, packing: Packing | None, assembled: Collection[str], target: LoadOptions) -> None:
    """What was not assembled is packed here. Raises: ModelError for a name to skip that the base does not have."""
    modules = {n: c for n, c in pipeline.components.items() if isinstance(c, torch.nn.Module)}
    check_dtypes(modules, target.dtype)
    if packing is None:
        return
    packing.check(modules)
    for name, module in modules.items():
        if name not in assembled:
            packing.apply(name, module, target.dtype, target.device)


def _settle(pipeline: Any, place: torch.device) -> None:
    """For inference only, its modules where they stay."""
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval().requires_grad_(False)
    pipeline.to(place)
    pipeline.set_progress_bar_config(disable=True)
