"""The modules of a base model: built empty while their tensors come from mapped files, straight to dtype and device.

`from_pretrained` builds them as empty, but reads one component after the other, and each file on one thread.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from torch import nn
from transformers import PreTrainedModel
from transformers.initialization import no_init_weights

from lorapool_runtime.engine.contract import Progress
from lorapool_runtime.engine.diffusers.base.converted import LoadOptions, Source, converting, sources
from lorapool_runtime.engine.diffusers.base.mapped import MappedFile, files_of
from lorapool_runtime.engine.diffusers.base.streamed.streamer import streaming
from lorapool_runtime.engine.diffusers.packed.packing import settle

log = structlog.get_logger(__name__)

# A model of transformers may be stored below this name, or not, by the version that wrote it.
_TEXT_PREFIX: Final = "text_model."


@dataclass(frozen=True)
class Part:
    """A component that may be loaded here: its class, where its configuration is, what its files hold."""

    folder: Path
    made: type[ModelMixin | PreTrainedModel]
    stored: Mapping[str, Source]


@dataclass(frozen=True)
class EmptyTensor:
    """A parameter or buffer that is still empty, and what belongs there."""

    module: nn.Module
    attribute: str
    source: Source


@dataclass(frozen=True)
class EmptyComponent:
    """A component that waits for its tensors; those of `packed` among them come packed."""

    name: str
    module: nn.Module
    slots: Sequence[EmptyTensor]
    packed: Sequence[EmptyTensor]


def assemble(folder: Path, index: Mapping[str, Any], target: LoadOptions, progress: Progress) -> dict[str, nn.Module]:
    """The pipeline's modules by the names of its `model_index.json`, on the device.

    A component that this cannot load exactly as its library would is left out: the pipeline's own loader takes it.

    Raises:
        ModelError: a file that is no safetensors file.
        torch.OutOfMemoryError: the device is too small.
    """
    parts = {n: part for n, entry in index.items() if (part := _part(folder / n, entry, target)) is not None}
    wanted = [source for part in parts.values() for source in part.stored.values()]
    found: dict[str, nn.Module] = {}
    slots: list[EmptyTensor] = []
    packed: set[Source] = set()
    components: Iterable[EmptyComponent] = _components(parts, target)
    if target.packing is not None:
        # Only a module tells which of its tensors are to be packed; else it is built while they are converted.
        components = list(components)
        packed = {slot.source for component in components for slot in component.packed}
    reading = streaming if target.streamed else converting
    with reading(wanted, target, progress, packed) as converted:
        for component in components:
            found[component.name] = component.module
            slots += component.slots
        for slot in slots:
            _set(slot, converted)
    for module in found.values():
        _finish(module, target.device)
    return found


def _components(parts: Mapping[str, Part], target: LoadOptions) -> Iterator[EmptyComponent]:
    for name, part in parts.items():
        module = _empty(part, target.dtype)
        slots = _slots(module, part.stored) if module is not None else None
        if module is None or slots is None:
            log.info("component left to its own library's loader", component=name)
            continue
        linears = target.packing.names(name, module) if target.packing is not None else ()
        packed = {id(module.get_submodule(linear)) for linear in linears}
        weights = [slot for slot in slots if id(slot.module) in packed and slot.attribute == "weight"]
        yield EmptyComponent(name, module, slots, weights)


def _part(folder: Path, entry: object, target: LoadOptions) -> Part | None:
    """None where it is no module, or one of more than one dtype."""
    match entry:
        case ["diffusers" | "transformers" as library, str(class_name)]:
            made: Any = getattr(importlib.import_module(library), class_name, None)
        case _:
            return None
    if not isinstance(made, type) or not issubclass(made, ModelMixin | PreTrainedModel):
        return None
    if target.dtype is not torch.float32 and _kept_in_float32(made):
        return None
    if "quantization_config" in (folder / "config.json").read_text(errors="replace"):
        return None
    stem = "diffusion_pytorch_model" if issubclass(made, ModelMixin) else "model"
    return Part(folder, made, sources([MappedFile(path) for path in files_of(folder, stem, target.variant)]))


def _empty(part: Part, dtype: torch.dtype) -> nn.Module | None:
    """The component without weights; None where it has numbers that its library may have in another dtype."""
    made: Any = part.made
    with init_empty_weights(include_buffers=False), no_init_weights():
        if issubclass(made, ModelMixin):
            module: Any = made.from_config(made.load_config(part.folder))
        else:
            module = made._from_config(made.config_class.from_pretrained(part.folder), dtype=dtype)
    if not isinstance(module, nn.Module) or (dtype is not torch.float32 and _has_float_buffers(module)):
        return None
    return module.eval()  # as `from_pretrained` leaves it


def _kept_in_float32(made: type) -> bool:
    names = ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")
    return any(getattr(made, name, None) for name in names)


def _has_float_buffers(module: nn.Module) -> bool:
    """Whether there are numbers that no file holds: the libraries differ in which dtype they get."""
    kept = module.state_dict().keys()
    return any(buffer.is_floating_point() and name not in kept for name, buffer in module.named_buffers())


def _slots(module: nn.Module, stored: Mapping[str, Source]) -> list[EmptyTensor] | None:
    """What each tensor of the module is; None unless the files hold exactly what the module has."""
    state = module.state_dict(keep_vars=True)
    names = _names(state, stored)
    if names is None or _has_ties(state):
        return None
    owners = dict(module.named_modules())
    slots = []
    for key, name in names.items():
        source = stored[name]
        if source.file.header.tensors[name].shape != tuple(state[key].shape):
            return None
        owner, _, attribute = key.rpartition(".")
        slots.append(EmptyTensor(owners[owner], attribute, source))
    return slots


def _names(state: Mapping[str, Any], files: Mapping[str, Source]) -> dict[str, str] | None:
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


def _set(slot: EmptyTensor, converted: Callable[[Source], torch.Tensor]) -> None:
    value = converted(slot.source)
    if isinstance(value, nn.Parameter) and isinstance(slot.module, nn.Linear):
        slot.module._parameters[slot.attribute] = value
        settle(slot.module)
    elif slot.attribute in slot.module._parameters:
        slot.module._parameters[slot.attribute] = nn.Parameter(value, requires_grad=False)
    else:
        slot.module._buffers[slot.attribute] = value


def _finish(module: nn.Module, device: torch.device) -> None:
    """What no file holds: buffers that the module made for itself."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None and buffer.device != device:
                part._buffers[name] = buffer.to(device)
