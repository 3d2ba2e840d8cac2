"""One module of an adapter file: its tensors, the weight that they change, the base's modules that have its rows."""

from dataclasses import dataclass
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.lora.layouts.mmdit import RowRanges, split_fused, split_rows
from lorapool_api.lora.networks import WeightShape, weight_shape


class PartInfo(NamedTuple):
    """One tensor of a module: its name among the module's parts, its dtype in safetensors' names, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class FileModule:
    """A module as the file names it.

    Attributes:
        parts: by their names.
        weight: what they make.
        targets: several where the file fuses what the base has apart.
    """

    component: str
    module: str
    parts: tuple[PartInfo, ...]
    weight: WeightShape
    targets: tuple[TargetFacts, ...]


# A thousand adapters of one trainer change the same modules: each description of a module is made and kept once.
_KEPT: Final[WeakValueDictionary[tuple[str, str, tuple[PartInfo, ...]], FileModule]] = WeakValueDictionary()


def file_module(component: str, module: str, parts: tuple[PartInfo, ...]) -> FileModule:
    """The description of a module with these parts, in the order of their names; equal ones are one object.

    Raises:
        FactsError: `UnsupportedFormat` or `InvalidWeights`, as `weight_shape`; rows that are not those of the modules
            that the file fuses.
    """
    key = (component, module, parts)
    found = _KEPT.get(key)
    if found is None:
        found = _KEPT[key] = _judged(*key)
    return found


def _judged(component: str, module: str, parts: tuple[PartInfo, ...]) -> FileModule:
    where = f"{component} {module}"
    weight = weight_shape({part.name: part.shape for part in parts}, where)
    fused = split_fused(module)
    names = ", ".join(fused.modules)
    cut = split_rows(fused, weight.outputs, weight.columns)
    if cut is None:
        raise FactsError(Reason.INVALID_WEIGHTS, f"{where}: {weight.outputs} rows are not those of {names}")
    if len(fused.modules) > 1 and weight.scaled_inputs:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"{where}: dora_scale along the inputs, over {names}")
    targets = (TargetFacts(component, name, weight, rows) for name, rows in zip(fused.modules, cut, strict=True))
    return FileModule(component, module, parts, weight, tuple(targets))
