"""What an adapter file is, from its header alone: layout, networks, ranks and the modules that it changes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.alphas import alphas_in_metadata
from lorapool_api.lora.families import Family, family_in_metadata, family_of_modules
from lorapool_api.lora.header import FLOATS, INTEGERS, FactsError, Header, TensorInfo
from lorapool_api.lora.layouts.keys import TEXT_ENCODER, TEXT_ENCODER_2, TEXT_ENCODER_3, TRANSFORMER, UNET, place_of
from lorapool_api.lora.layouts.mmdit import Fused, rows_of, taken_apart
from lorapool_api.lora.networks import Made, Network, made_of

__all__ = [
    "TEXT_ENCODER",
    "TEXT_ENCODER_2",
    "TRANSFORMER",
    "UNET",
    "AdapterFacts",
    "Network",
    "Target",
    "read_facts",
    "shared_target",
]

MAX_TARGETS: Final = 5_000
"""SDXL has 1,060 modules that can be changed, text encoders included; Flux some 700."""


@dataclass(frozen=True)
class Target:
    """A module that the file changes.

    Attributes:
        component: unet, transformer, text_encoder, ...; unet also where the file does not tell it from a transformer.
        module: name in the component, with `_` for `.` as kohya writes it, so that all layouts compare.
        rank: 0 where the parts have no rank of their own (a full LoKr).
        in_features, out_features: channels of the module's weight; None where the parts do not say.
        kernel: (height, width) of a convolution, or None.
        columns: in_features and kernel multiplied, where the parts hold both in one side; None where they do not say.
    """

    component: str
    module: str
    network: Network
    rank: int
    in_features: int | None
    out_features: int | None
    kernel: tuple[int, int] | None = None
    columns: int | None = None


# A thousand adapters of one trainer change the same modules: each description of a module is kept once.
_TARGETS: Final[WeakValueDictionary[Target, Target]] = WeakValueDictionary()


def shared_target(target: Target) -> Target:
    """The one of all equal targets that is kept."""
    return _TARGETS.setdefault(target, target)


@dataclass(frozen=True)
class AdapterFacts:
    """What the header says of an adapter file.

    Attributes:
        dtypes: of the weights, in safetensors' names.
        alphas: that the metadata names; a file's own tensors of alpha are weights, not header.
        made_for: the family of bases that it seems made for; None: it does not say. It only words messages.
    """

    format: AdapterFormat
    targets: tuple[Target, ...]
    size_bytes: int
    dtypes: frozenset[str] = frozenset()
    alphas: frozenset[float] = frozenset()
    made_for: Family | None = None

    @property
    def rank(self) -> int:
        """The highest rank in the file."""
        return max(t.rank for t in self.targets)

    @property
    def ranks(self) -> frozenset[int]:
        return frozenset(t.rank for t in self.targets)

    @property
    def networks(self) -> frozenset[Network]:
        return frozenset(t.network for t in self.targets)


Parts = dict[str, TensorInfo]


def read_facts(header: Header) -> AdapterFacts:
    """The facts of an adapter file.

    Raises:
        FactsError: no key of any known layout (`NotALora`), keys or dtypes that nothing reads (`UnsupportedFormat`),
            parts that do not belong together (`InvalidWeights`).
    """
    modules, layouts, unknown = _group(header.tensors)
    if other := _other_network(unknown):
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"{other} is not read; the file holds {_some(unknown)}")
    if not modules:
        raise FactsError(Reason.NOT_A_LORA, _what_else(header.tensors))
    if unknown:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"nothing reads {_some(unknown)}")
    if len(layouts) > 1:
        raise FactsError(
            Reason.UNSUPPORTED_FORMAT, f"keys of several layouts in one file: {', '.join(sorted(layouts))}"
        )
    if t5 := sorted(module for component, module in modules if component == TEXT_ENCODER_3):
        message = f"the file changes a T5 text encoder (lora_te3_), which is not read: {_some(t5)}"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    _check_dtypes(modules)
    targets = tuple(
        shared_target(target) for place, parts in sorted(modules.items()) for target in _targets(*place, parts)
    )
    if len(targets) > MAX_TARGETS:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"the file changes {len(targets)} modules; at most {MAX_TARGETS}")
    _check_once(targets)
    return AdapterFacts(
        layouts.pop(),
        targets,
        header.size_bytes,
        frozenset(t.dtype for t in header.tensors.values()),
        alphas_in_metadata(header.metadata),
        family_of_modules({(t.component, t.module): t.in_features or t.columns for t in targets})
        or family_in_metadata(header.metadata),
    )


def parts_by_module(header: Header) -> Mapping[tuple[str, str], Mapping[str, TensorInfo]]:
    """(component, module with underscores) -> part (down, up, alpha, ...) -> its tensor; for who reads the weights.

    A module may be one of an original layout that `mmdit.taken_apart` takes apart.
    """
    return _group(header.tensors)[0]


def _group(
    tensors: Mapping[str, TensorInfo],
) -> tuple[dict[tuple[str, str], Parts], set[AdapterFormat], list[str]]:
    """Parts by (component, module); the layouts seen; the keys that no layout has."""
    modules: dict[tuple[str, str], Parts] = {}
    layouts: set[AdapterFormat] = set()
    unknown: list[str] = []
    for key, tensor in tensors.items():
        place = place_of(key)
        if place is None:
            unknown.append(key)
            continue
        layouts.add(place.layout)
        parts = modules.setdefault((place.component, place.module), {})
        if place.part in parts:
            message = f"two keys name the {place.part} part of {place.component} {place.module}"
            raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
        parts[place.part] = tensor
    return modules, layouts, unknown


def _targets(component: str, module: str, parts: Parts) -> Iterator[Target]:
    """The module, or those that its rows belong to."""
    where = f"{component} {module}"
    made = made_of(parts, where)
    fused = taken_apart(module)
    cut = rows_of(fused, made.outputs, made.columns)
    if cut is None:
        raise FactsError(Reason.INVALID_WEIGHTS, f"{where}: {made.outputs} rows are not those of {_names(fused)}")
    for name, rows in zip(fused.modules, cut, strict=True):
        outputs = sum(end - begin for begin, end in rows) or made.outputs
        yield _target(component, name, made, outputs)


def _target(component: str, module: str, made: Made, outputs: int) -> Target:
    return Target(component, module, made.network, made.rank, made.inputs, outputs, made.kernel, made.columns)


def _names(fused: Fused) -> str:
    return ", ".join(fused.modules)


def _check_once(targets: Iterable[Target]) -> None:
    seen: set[tuple[str, str]] = set()
    for target in targets:
        place = (target.component, target.module)
        if place in seen:
            raise FactsError(Reason.UNSUPPORTED_FORMAT, f"two modules of the file change {' '.join(place)}")
        seen.add(place)


def _check_dtypes(modules: Mapping[tuple[str, str], Parts]) -> None:
    """Weights are floats. Some trainers write alpha, one number, as an integer."""
    odd = [
        f"{component} {module} {part} ({tensor.dtype})"
        for (component, module), parts in modules.items()
        for part, tensor in parts.items()
        if tensor.dtype not in FLOATS and not (part == "alpha" and tensor.dtype in INTEGERS)
    ]
    if odd:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"weights must be floats of 16 bits or more: {_some(odd)}")


# Networks of PEFT and LyCORIS that are known but not read, by keys that no other has.
_OTHER_NETWORKS: Final = (
    (re.compile(r"\.ia3_l|\.on_input$"), "IA3"),
    (re.compile(r"\.boft_[Rs]"), "BOFT"),
    (re.compile(r"\.oft_blocks$|\.oft_diag$|\.oft_[rRs]\b"), "OFT or BOFT"),
    (re.compile(r"\bvera_(lambda_[bd]|[AB])"), "VeRA"),
    (re.compile(r"\.[ab][12]\.weight$"), "GLoRA"),
    (re.compile(r"\.[wb]_norm$"), "a change of norms"),
)


def _other_network(keys: Iterable[str]) -> str | None:
    return next((name for key in keys for pattern, name in _OTHER_NETWORKS if pattern.search(key)), None)


def _what_else(tensors: Mapping[str, TensorInfo]) -> str:
    """What a file without LoRA keys seems to be."""
    keys = tuple(tensors)
    if not keys:
        return "the file holds no tensors"
    if any(k.startswith(("model.diffusion_model.", "down_blocks.", "first_stage_model.")) for k in keys):
        return "this is a whole model, not a LoRA adapter"
    if any(k in ("clip_l", "clip_g", "text_encoders_0", "emb_params") for k in keys):
        return "this is a textual inversion embedding, not a LoRA adapter"
    return f"no LoRA weights in the file; it holds {_some(keys)}"


def _some(keys: Iterable[str], most: int = 3) -> str:
    names = [k[:120] for k in keys]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
