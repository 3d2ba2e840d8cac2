"""What an adapter file is, from its header alone: layout, network type, ranks and the modules that it changes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lorapool_api.adapter import AdapterFormat
from lorapool_api.conditions import Reason
from lorapool_api.header import FLOATS, FactsError, Header, TensorInfo
from lorapool_api.sgm import diffusers_name

UNET: Final = "unet"
TRANSFORMER: Final = "transformer"
TEXT_ENCODER: Final = "text_encoder"
TEXT_ENCODER_2: Final = "text_encoder_2"


class Network(StrEnum):
    """Kinds of low-rank change."""

    LORA = "lora"
    DORA = "dora"
    LOHA = "loha"
    LOKR = "lokr"


@dataclass(frozen=True)
class Target:
    """A module that the file changes.

    Attributes:
        component: unet, transformer, text_encoder or text_encoder_2.
        module: name in the component, with `_` for `.` as kohya writes it, so that all layouts compare.
        rank: 0 where the parts have no rank of their own (a full LoKr).
        in_features, out_features: channels of the module's weight; None where the parts do not say.
        kernel: (height, width) of a convolution, or None.
    """

    component: str
    module: str
    network: Network
    rank: int
    in_features: int | None
    out_features: int | None
    kernel: tuple[int, int] | None = None


@dataclass(frozen=True)
class AdapterFacts:
    """What the header says of an adapter file."""

    format: AdapterFormat
    targets: tuple[Target, ...]
    size_bytes: int

    @property
    def rank(self) -> int:
        """The highest rank in the file."""
        return max(t.rank for t in self.targets)

    @property
    def networks(self) -> frozenset[Network]:
        return frozenset(t.network for t in self.targets)


_KOHYA_PREFIXES: Final = {
    "lora_unet_": UNET,
    "lora_transformer_": TRANSFORMER,
    "lora_te1_": TEXT_ENCODER,
    "lora_te2_": TEXT_ENCODER_2,
    "lora_te_": TEXT_ENCODER,
}
_DOTTED_PREFIXES: Final = {
    "unet.": UNET,
    "transformer.": TRANSFORMER,
    "text_encoder.": TEXT_ENCODER,
    "text_encoder_2.": TEXT_ENCODER_2,
    "base_model.model.": UNET,
}
# What follows a module's name, and the part that it stands for.
_PARTS: Final = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "alpha": "alpha",
    "lora.alpha": "alpha",
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")},
}
_PART: Final = re.compile(
    r"^(?P<module>.+?)\.(?P<part>" + "|".join(re.escape(p) for p in sorted(_PARTS, key=len, reverse=True)) + r")$"
)
# diffusers before 0.20: `...attn1.processor.to_q_lora.down.weight`.
_OLD_ATTENTION: Final = re.compile(
    r"^(?P<attention>.+)\.processor\.(?P<projection>to_[a-z]+)_lora\.(?P<part>down|up)\.weight$"
)

Parts = dict[str, TensorInfo]


def read_facts(header: Header) -> AdapterFacts:
    """The facts of an adapter file.

    Raises:
        FactsError: no key of any known layout (`NotALora`), keys or dtypes that nothing reads (`UnsupportedFormat`),
            parts that do not belong together (`InvalidWeights`).
    """
    modules, layouts, unknown = _group(header.tensors)
    if not modules:
        raise FactsError(Reason.NOT_A_LORA, _what_else(header.tensors))
    if unknown:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"nothing reads {_some(unknown)}")
    if len(layouts) > 1:
        raise FactsError(
            Reason.UNSUPPORTED_FORMAT, f"keys of several layouts in one file: {', '.join(sorted(layouts))}"
        )
    _check_dtypes(header.tensors)
    targets = tuple(_target(*place, parts) for place, parts in sorted(modules.items()))
    return AdapterFacts(layouts.pop(), targets, header.size_bytes)


def parts_by_module(header: Header) -> Mapping[tuple[str, str], Mapping[str, TensorInfo]]:
    """(component, module with underscores) -> part (down, up, alpha, ...) -> its tensor; for who reads the weights."""
    return _group(header.tensors)[0]


def _group(
    tensors: Mapping[str, TensorInfo],
) -> tuple[dict[tuple[str, str], Parts], set[AdapterFormat], list[str]]:
    """Parts by (component, module); the layouts seen; the keys that no layout has."""
    modules: dict[tuple[str, str], Parts] = {}
    layouts: set[AdapterFormat] = set()
    unknown: list[str] = []
    for key, tensor in tensors.items():
        place = _place(key)
        if place is None:
            unknown.append(key)
            continue
        layout, component, module, part = place
        layouts.add(layout)
        parts = modules.setdefault((component, module), {})
        if part in parts:
            raise FactsError(Reason.UNSUPPORTED_FORMAT, f"two keys name the {part} part of {component} {module}")
        parts[part] = tensor
    return modules, layouts, unknown


def _place(key: str) -> tuple[AdapterFormat, str, str, str] | None:
    """(layout, component, module with underscores, part) of a key, or None."""
    if old := _OLD_ATTENTION.match(key):
        projection = {"to_out": "to_out.0"}.get(old["projection"], old["projection"])
        component, module = _component(f"{old['attention']}.{projection}")
        return AdapterFormat.DIFFUSERS, component, module.replace(".", "_"), old["part"]
    match = _PART.match(key)
    if match is None:
        return None
    name, part = match["module"], _PARTS[match["part"]]
    for prefix, component in _KOHYA_PREFIXES.items():
        if name.startswith(prefix):
            module = name.removeprefix(prefix)
            return (
                AdapterFormat.KOHYA,
                component,
                diffusers_name(module) if component == UNET else module,
                part,
            )
    layout = AdapterFormat.PEFT if name.startswith("base_model.model.") else AdapterFormat.DIFFUSERS
    component, module = _component(name)
    return layout, component, module.replace(".", "_"), part


def _component(name: str) -> tuple[str, str]:
    for prefix, component in _DOTTED_PREFIXES.items():
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            # PEFT's wrapper around a whole component: base_model.model.unet... is read as that component.
            return (
                _component(rest)
                if prefix == "base_model.model." and rest.startswith(_COMPONENTS)
                else (component, rest)
            )
    return UNET, name


_COMPONENTS: Final = tuple(p for p in _DOTTED_PREFIXES if p != "base_model.model.")


def _target(component: str, module: str, parts: Parts) -> Target:
    where = f"{component} {module}"
    if "down" in parts or "up" in parts:
        return _low_rank(component, module, parts, where)
    if "hada_w1_a" in parts:
        return _loha(component, module, parts, where)
    if any(p.startswith("lokr_w") for p in parts):
        return _lokr(component, module, parts, where)
    raise FactsError(Reason.INVALID_WEIGHTS, f"{where} has {', '.join(sorted(parts))} but no weights")


def _low_rank(component: str, module: str, parts: Parts, where: str) -> Target:
    down, up = (_shape(parts, p, where) for p in ("down", "up"))
    if len(down) not in (2, 4) or len(up) not in (2, 4):
        raise FactsError(Reason.INVALID_WEIGHTS, f"{where}: weights with {len(down)} and {len(up)} dimensions")
    if down[0] != up[1] or not down[0]:
        raise FactsError(Reason.INVALID_WEIGHTS, f"{where}: rank {down[0]} in the down part, {up[1]} in the up part")
    network = Network.DORA if {"magnitude", "dora_scale"} & parts.keys() else Network.LORA
    kernel_of = parts["mid"].shape if "mid" in parts else down
    return Target(component, module, network, down[0], down[1], up[0], _kernel(kernel_of))


def _loha(component: str, module: str, parts: Parts, where: str) -> Target:
    first, second = _shape(parts, "hada_w1_a", where), _shape(parts, "hada_w1_b", where)
    for part in ("hada_w2_a", "hada_w2_b"):
        _shape(parts, part, where)
    if len(first) != 2 or len(second) < 2:
        raise FactsError(Reason.INVALID_WEIGHTS, f"{where}: LoHa parts with {len(first)} and {len(second)} dimensions")
    if "hada_t1" in parts:  # with the core tensor, w1_a is (rank, out) and w1_b (rank, in)
        return Target(component, module, Network.LOHA, first[0], second[1], first[1], _kernel(parts["hada_t1"].shape))
    return Target(component, module, Network.LOHA, first[1], None, first[0])


def _lokr(component: str, module: str, parts: Parts, where: str) -> Target:
    ranks = [parts[p].shape[0] for p in ("lokr_w1_b", "lokr_w2_b") if p in parts and parts[p].shape]
    for factor in ("lokr_w1", "lokr_w2"):
        if factor not in parts and not {f"{factor}_a", f"{factor}_b"} <= parts.keys():
            raise FactsError(Reason.INVALID_WEIGHTS, f"{where} lacks {factor}")
    return Target(component, module, Network.LOKR, max(ranks, default=0), None, None)


def _shape(parts: Parts, part: str, where: str) -> tuple[int, ...]:
    if part not in parts:
        raise FactsError(Reason.INVALID_WEIGHTS, f"{where} lacks its {part} part")
    return parts[part].shape


def _kernel(shape: tuple[int, ...]) -> tuple[int, int] | None:
    return (shape[2], shape[3]) if len(shape) == 4 and shape[2:] != (1, 1) else None


def _check_dtypes(tensors: Mapping[str, TensorInfo]) -> None:
    odd = [f"{key} ({t.dtype})" for key, t in tensors.items() if t.dtype not in FLOATS]
    if odd:
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"weights must be floats of 16 bits or more: {_some(odd)}")


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
