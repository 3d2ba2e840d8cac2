"""The modules of an adapter file: tensors, the weights that these change, and the base's modules that have the rows."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError, TensorInfo, size_bytes_of
from lorapool_api.lora.layouts.mmdit import Cut, Fused, RowRanges, split_rows
from lorapool_api.lora.layouts.originals import readings
from lorapool_api.lora.networks import WeightShape, weight_shape


class PartInfo(NamedTuple):
    """One tensor of a module: its name among the module's parts, its dtype in safetensors' names, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """A module of the base that the file changes.

    Attributes:
        component: unet, transformer, text_encoder, ...; unet also where the file does not tell it from a transformer.
        module: name in the component, with `_` for `.` as kohya writes it, so that all layouts compare.
        weight: what the file's parts make.
        rows: those of that weight's rows that are this module's; (): all.
    """

    component: str
    module: str
    weight: WeightShape
    rows: RowRanges = ()

    @property
    def outputs(self) -> int:
        return sum(end - begin for begin, end in self.rows) or self.weight.outputs


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FileModule:
    """A module as the file names it.

    Attributes:
        parts: by their names.
        weight: what they make.
        readings: what it can mean, the likeliest first: each the modules of a base, several where the file fuses what
            the base has apart.
    """

    component: str
    module: str
    parts: tuple[PartInfo, ...]
    weight: WeightShape
    readings: tuple[tuple[TargetFacts, ...], ...]

    @property
    def targets(self) -> tuple[TargetFacts, ...]:
        """The modules that it changes where no base says otherwise."""
        return self.readings[0]

    def targets_in(self, has: Callable[[str, str], bool]) -> tuple[TargetFacts, ...]:
        """The modules of a base that it changes; as without one, where the base has those of no reading.

        Args:
            has: whether the base has a module of that component, `_` for `.`.
        """
        fitting = (found for found in self.readings if all(has(target.component, target.module) for target in found))
        return next(fitting, self.targets)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FileLayout:
    """Where the tensors of a file's modules lie.

    Attributes:
        modules: as the file names them.
        begins: where the bytes of each part of each module begin, in that order, from the end of the header.
    """

    modules: tuple[FileModule, ...]
    begins: "array[int]"

    def tensors(self) -> Iterator[tuple[FileModule, Mapping[str, TensorInfo]]]:
        """Each module with its tensors, by the names of its parts."""
        begins = iter(self.begins)
        for module in self.modules:
            yield module, {part.name: _located(part, begin) for part, begin in zip(module.parts, begins, strict=False)}


def _located(part: PartInfo, begin: int) -> TensorInfo:
    return TensorInfo(part.dtype, part.shape, begin, begin + size_bytes_of(part.dtype, part.shape))


Parts = tuple[PartInfo, ...]

# A thousand adapters of one trainer change the same modules: each description is made and kept once.
_LAYOUTS: Final[WeakValueDictionary[tuple[tuple[int, ...], bytes], FileLayout]] = WeakValueDictionary()
_MODULES: Final[WeakValueDictionary[tuple[str, str, Parts], FileModule]] = WeakValueDictionary()


def file_layout(modules: tuple[FileModule, ...], begins: Iterable[int]) -> FileLayout:
    """The layout of a file with these modules of `file_module`; equal ones are one object."""
    packed = array("Q", begins)
    key = (tuple(map(id, modules)), packed.tobytes())
    found = _LAYOUTS.get(key)
    if found is None:
        found = _LAYOUTS[key] = FileLayout(modules, packed)
    return found


def file_module(component: str, module: str, parts: Parts) -> FileModule:
    """The description of a module with these parts, in the order of their names; equal ones are one object.

    Raises:
        FactsError: `UnsupportedFormat` or `InvalidWeights`, as `weight_shape`; rows that are not those of the modules
            that the file fuses.
    """
    found = _MODULES.get((component, module, parts))
    if found is None:
        try:
            found = _judged(component, module, *_weight(parts))
        except FactsError as error:
            raise FactsError(error.reason, f"{component} {module}: {error.message}") from error
        _MODULES[component, module, found.parts] = found
    return found


# The modules of an adapter differ in some twenty sizes.
@lru_cache(maxsize=1 << 10)
def _weight(parts: Parts) -> tuple[Parts, WeightShape]:
    """The parts themselves, so that equal ones are one object, and what they make."""
    return parts, weight_shape({part.name: part.shape for part in parts})


def _judged(component: str, module: str, parts: Parts, weight: WeightShape) -> FileModule:
    meant = readings(module)
    cut = [targets for fused in meant if (targets := _targets(component, fused, weight)) is not None]
    names = ", ".join(meant[0].modules)
    if not cut and not weight.has_scale:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"{weight.network}, which cannot be cut, over {names}")
    if not cut:
        raise FactsError(Reason.INVALID_WEIGHTS, f"{weight.outputs} rows are not those of {names}")
    found = [targets for targets in cut if len(targets) == 1 or not weight.scaled_inputs]
    if not found:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"dora_scale along the inputs, over {names}")
    return FileModule(component, module, parts, weight, tuple(found))


def _targets(component: str, fused: Fused, weight: WeightShape) -> tuple[TargetFacts, ...] | None:
    """The modules of one reading, or None where the weight's rows cannot be theirs."""
    cut = split_rows(fused, weight.outputs, weight.columns)
    if cut is None or not (weight.has_scale or fused.cut is Cut.WHOLE):
        return None
    named = zip(fused.modules, cut, strict=True)
    return tuple(TargetFacts(component, name, weight, rows) for name, rows in named)
