"""What an adapter file is, from its header alone: layout, networks, ranks and the modules that it changes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.declared import NOTHING_DECLARED, DeclaredUse, declared_use
from lorapool_api.lora.families import Family, family_in_metadata, family_of_modules, is_gated_flux
from lorapool_api.lora.header import FLOATS, INTEGERS, FactsError, Header, TensorInfo
from lorapool_api.lora.layouts.keys import (
    SHARED,
    TEXT_ENCODER,
    TEXT_ENCODER_2,
    TEXT_ENCODER_3,
    TRANSFORMER,
    UNET,
    flat_name,
    parse_key,
)
from lorapool_api.lora.modules import FileLayout, FileModule, PartInfo, TargetFacts, file_layout, file_module
from lorapool_api.lora.networks import CONFIGURED, Network, WeightShape
from lorapool_api.lora.peft_config import PeftConfig, from_metadata

__all__ = ["TEXT_ENCODER", "TEXT_ENCODER_2", "TRANSFORMER", "UNET", "AdapterFacts", "Network", "read_facts"]

MAX_TARGETS: Final = 5_000
"""SDXL has 1,060 modules that can be changed, text encoders included; Flux some 700."""


@dataclass(frozen=True)
class AdapterFacts:
    """What the header says of an adapter file.

    Attributes:
        layout: its modules with their tensors, shared with files of the same.
        peft_configs: PEFT's configuration of each component, where the metadata has it.
        made_for: the family of bases that it seems made for; None: it does not say. It only words messages.
        declared: what its metadata says of its use.
    """

    format: AdapterFormat
    layout: FileLayout
    size_bytes: int
    peft_configs: Mapping[str, PeftConfig] = field(default_factory=dict, hash=False)
    made_for: Family | None = None
    declared: DeclaredUse = NOTHING_DECLARED

    @property
    def modules(self) -> tuple[FileModule, ...]:
        return self.layout.modules

    @property
    def targets(self) -> tuple[TargetFacts, ...]:
        """The modules of the base that the file changes."""
        return tuple(target for module in self.modules for target in module.targets)

    @cached_property
    def target_count(self) -> int:
        return sum(len(module.targets) for module in self.modules)

    @cached_property
    def rank(self) -> int:
        """The highest rank in the file."""
        return max(module.weight.rank for module in self.modules)

    @property
    def networks(self) -> frozenset[Network]:
        return frozenset(module.weight.network for module in self.modules)

    @cached_property
    def network_names(self) -> tuple[str, ...]:
        """What people call its networks, in order; a LoRA of convolutions is a LoCon."""
        return tuple(sorted({_network_name(module.weight) for module in self.modules}))


Parts = dict[str, TensorInfo]


def read_facts(header: Header) -> AdapterFacts:
    """The facts of an adapter file.

    Raises:
        FactsError: no key of any known layout (`NotALora`), keys or dtypes that nothing reads (`UnsupportedFormat`),
            parts that do not belong together (`InvalidWeights`).
    """
    parts, layouts, unknown = _group(header.tensors)
    if other := _other_network(unknown):
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"{other} is not read; the file holds {_some(unknown)}")
    if not parts:
        raise FactsError(Reason.NOT_A_LORA, _what_else(header.tensors))
    if unknown:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"nothing reads {_some(unknown)}")
    if len(layouts) > 1:
        raise FactsError(
            Reason.UNSUPPORTED_FORMAT, f"keys of several layouts in one file: {', '.join(sorted(layouts))}"
        )
    if t5 := sorted(module for component, module in parts if component == TEXT_ENCODER_3):
        message = f"the file changes a T5 text encoder (lora_te3_), which is not read: {_some(t5)}"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    _check_dtypes(parts)
    modules = tuple(_module(*named) for named in sorted(parts.items()))
    facts = AdapterFacts(
        layouts.pop(),
        file_layout(modules, (parts[m.component, m.module][part.name].begin for m in modules for part in m.parts)),
        header.size_bytes,
        from_metadata(header.metadata),
        _family(modules) or family_in_metadata(header.metadata),
        declared_use(header.metadata),
    )
    of_peft = [m for m in modules if m.weight.network in CONFIGURED]
    if of_peft and facts.format is not AdapterFormat.PEFT and not facts.peft_configs:
        message = f"{of_peft[0].weight.network} without PEFT's configuration: nothing says what it means"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    if facts.target_count > MAX_TARGETS:
        message = f"the file changes {facts.target_count} modules; at most {MAX_TARGETS}"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    check_once(facts.targets)
    return facts


def _group(
    tensors: Mapping[str, TensorInfo],
) -> tuple[dict[tuple[str, str], Parts], set[AdapterFormat], list[str]]:
    """Parts by (component, module); the layouts seen; the keys that no layout has."""
    modules: dict[tuple[str, str], Parts] = {}
    layouts: set[AdapterFormat] = set()
    unknown: list[str] = []
    for key, tensor in tensors.items():
        if key in SHARED:
            continue
        named = parse_key(key)
        if named is None:
            unknown.append(key)
            continue
        layouts.add(named.layout)
        parts = modules.setdefault((named.component, named.module), {})
        if named.part in parts:
            message = f"two keys name the {named.part} part of {named.component} {named.module}"
            raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
        parts[named.part] = tensor
    if shared := {part: tensors[key] for key, part in SHARED.items() if key in tensors}:
        sharing = [parts for parts in modules.values() if "vera_lambda_b" in parts]
        unknown += [key for key in SHARED if key in tensors and not sharing]
        layouts.add(AdapterFormat.PEFT)
        for parts in sharing:
            parts.update(shared)
    return modules, layouts, unknown


def _module(name: tuple[str, str], parts: Parts) -> FileModule:
    return file_module(*name, tuple(PartInfo(part, t.dtype, t.shape) for part, t in sorted(parts.items())))


def _network_name(weight: WeightShape) -> str:
    return "locon" if weight.network is Network.LORA and weight.kernel else weight.network.value


def _family(modules: Sequence[FileModule]) -> Family | None:
    if any(is_gated_flux(m.module, m.weight.outputs, m.weight.columns) for m in modules):
        return Family.FLUX_2
    targets = (target for module in modules for target in module.targets)
    return family_of_modules({(t.component, t.module): t.weight.inputs or t.weight.columns for t in targets})


def check_once(targets: Iterable[TargetFacts]) -> None:
    """Names that a base may take for one module are one: many layouts call a transformer `unet` too.

    Raises:
        FactsError: a module that is changed twice (`UnsupportedFormat`).
    """
    seen: set[tuple[str, str]] = set()
    for target in targets:
        name = (UNET if target.component == TRANSFORMER else target.component, flat_name(target.module))
        if name in seen:
            message = f"two modules of the file change {target.component} {target.module}"
            raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
        seen.add(name)


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
    (re.compile(r"\.on_input$"), "IA3 of LyCORIS"),
    (re.compile(r"\.boft_[Rs]\."), "BOFT whose keys end in a name"),
    (re.compile(r"\.oft_diag$|\.oft_[rRs]\b"), "OFT of kohya or of PEFT before 0.14"),
    (re.compile(r"\bvera_(lambda_[bd]|[AB])"), "VeRA without factors, or whose keys end in a name,"),
    (re.compile(r"\.[wb]_norm$"), "a change of norms"),
    (re.compile(r"\.(query|key)_norm\.scale$"), "a control LoRA of Flux (depth, canny), which needs a control image"),
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
