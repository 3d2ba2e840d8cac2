"""The modules of a base model: built empty, then filled from mapped files, straight to dtype and device.

`from_pretrained` builds them as empty, but reads one component after the other, and each file on one thread.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import structlog
import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from torch import nn
from transformers import PreTrainedModel

from lorapool_runtime.engine.contract import Progress
from lorapool_runtime.engine.diffusers.mapped import MappedFile, files_of

log = structlog.stdlib.get_logger(__name__)

# A model of transformers may be stored below this name, or not, by the version that wrote it.
_TEXT_PREFIX: Final = "text_model."
_MOST_THREADS: Final = 8


@dataclass(frozen=True)
class Slot:
    """A parameter or buffer that is still empty, and where its bytes are."""

    module: nn.Module
    attribute: str
    file: MappedFile
    name: str

    @property
    def size_bytes(self) -> int:
        info = self.file.header.tensors[self.name]
        return info.end - info.begin


@dataclass(frozen=True)
class Target:
    """How the modules are wanted."""

    dtype: torch.dtype
    device: torch.device
    variant: str | None = None


def assemble(folder: Path, index: Mapping[str, Any], target: Target, progress: Progress) -> dict[str, nn.Module]:
    """The pipeline's modules by the names of its `model_index.json`, on the device.

    A component that this cannot load exactly as its library would is left out: the pipeline's own loader takes it.

    Raises:
        ModelError: a file that is no safetensors file.
        torch.OutOfMemoryError: the device is too small.
    """
    found: dict[str, nn.Module] = {}
    slots: list[Slot] = []
    for name, entry in index.items():
        built = _empty(folder / name, entry, target.dtype)
        if built is None:
            continue
        wanted = _slots(built, files_of(folder / name, _stem(built), target.variant))
        if wanted is None:
            log.info("component left to its own library's loader", component=name)
            continue
        found[name] = built
        slots += wanted
    _fill(slots, target, progress)
    for module in found.values():
        _finish(module, target.device)
    return found


def _empty(folder: Path, entry: object, dtype: torch.dtype) -> nn.Module | None:
    """The component without weights, or None where it is no module, or one of more than one dtype."""
    match entry:
        case ["diffusers" | "transformers" as library, str(class_name)]:
            made: Any = getattr(importlib.import_module(library), class_name, None)
        case _:
            return None
    if not _is_model(made):
        return None
    if dtype is not torch.float32 and _kept_in_float32(made):
        return None
    if "quantization_config" in (folder / "config.json").read_text(errors="replace"):
        return None
    with init_empty_weights(include_buffers=False):
        if issubclass(made, ModelMixin):
            module: Any = made.from_config(made.load_config(folder))
        else:
            module = made._from_config(made.config_class.from_pretrained(folder), dtype=dtype)
    if not isinstance(module, nn.Module) or (dtype is not torch.float32 and _has_float_buffers(module)):
        return None
    return module.eval()  # as `from_pretrained` leaves it


def _is_model(made: object) -> bool:
    return isinstance(made, type) and issubclass(made, ModelMixin | PreTrainedModel)


def _kept_in_float32(made: type) -> bool:
    names = ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")
    return any(getattr(made, name, None) for name in names)


def _has_float_buffers(module: nn.Module) -> bool:
    """Whether there are numbers that no file holds: the libraries differ in which dtype they get."""
    kept = module.state_dict().keys()
    return any(buffer.is_floating_point() and name not in kept for name, buffer in module.named_buffers())


def _stem(module: nn.Module) -> str:
    return "diffusion_pytorch_model" if isinstance(module, ModelMixin) else "model"


def _slots(module: nn.Module, paths: Sequence[Path]) -> list[Slot] | None:
    """Where each tensor of the module comes from; None unless the files hold exactly what the module has."""
    files = {name: file for path in paths for file in (MappedFile(path),) for name in file.header.tensors}
    state = module.state_dict(keep_vars=True)
    names = _names(state, files)
    if names is None or _has_ties(state):
        return None
    slots = []
    for key, name in names.items():
        if files[name].header.tensors[name].shape != tuple(state[key].shape):
            return None
        owner, _, attribute = key.rpartition(".")
        slots.append(Slot(module.get_submodule(owner), attribute, files[name], name))
    return slots


def _names(state: Mapping[str, Any], files: Mapping[str, MappedFile]) -> dict[str, str] | None:
    """key of the module -> name in the files, where they are the same but for a prefix."""
    if not files:
        return None
    # Written by older versions: positions that the module counts for itself.
    stored = {name for name in files if not name.endswith("embeddings.position_ids") or name in state}
    for rename in (str, _TEXT_PREFIX.__add__, lambda key: key.removeprefix(_TEXT_PREFIX)):
        names = {key: rename(key) for key in state}
        if set(names.values()) == stored:
            return names
    return None


def _has_ties(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether two names mean one parameter: which of them a file holds is its library's business."""
    return len({id(tensor) for tensor in state.values()}) != len(state)


def _fill(slots: Sequence[Slot], target: Target, progress: Progress) -> None:
    """Largest first, on several threads: one tensor's pages come from disk while others are converted."""
    total = sum(slot.size_bytes for slot in slots) or 1
    done, lock = 0, Lock()

    def fill(slot: Slot) -> None:
        nonlocal done
        _set(slot, target)
        with lock:
            done += slot.size_bytes
            progress(done / total)

    with _one_thread_each() as prepare, ThreadPoolExecutor(_threads(), "fill", initializer=prepare) as pool:
        for _ in pool.map(fill, sorted(slots, key=lambda slot: -slot.size_bytes)):
            pass


def _threads() -> int:
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)))


@contextmanager
def _one_thread_each() -> Iterator[Callable[[], None]]:
    """What each thread of a pool calls first: teams of threads inside of threads would wait for each other."""
    before = torch.get_num_threads()
    try:
        yield lambda: torch.set_num_threads(1)
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _set(slot: Slot, target: Target) -> None:
    stored = slot.file.tensor(slot.name)
    dtype = target.dtype if stored.is_floating_point() else stored.dtype
    # To the device first: it converts faster than the host.
    value = stored.to(target.device).to(dtype)
    if value.data_ptr() != stored.data_ptr():
        slot.file.read_up(slot.file.header.tensors[slot.name])
    if slot.attribute in slot.module._parameters:
        slot.module._parameters[slot.attribute] = nn.Parameter(value, requires_grad=False)
    else:
        slot.module._buffers[slot.attribute] = value


def _finish(module: nn.Module, device: torch.device) -> None:
    """What no file holds: buffers that the module made for itself."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None and buffer.device != device:
                part._buffers[name] = buffer.to(device)
