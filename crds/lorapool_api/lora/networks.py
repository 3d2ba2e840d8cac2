"""What the tensors of one module are, from their names and shapes: kind of network, rank, and the weight they change.

The shapes are those of the libraries that define the parts: PEFT and kohya's trainer for LoRA, LyCORIS for the others.
"""

from dataclasses import replace
from math import prod
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.lora.weights.parts import Parts, Shape, by_sides, invalid, shape_of
from lorapool_api.lora.weights.rotations import boft_of_peft, of_lycoris, oft_of_peft
from lorapool_api.lora.weights.shape import CONFIGURED, OF_THE_WEIGHT, TURNED_INPUTS, Network, WeightShape

__all__ = ["CONFIGURED", "OF_THE_WEIGHT", "TURNED_INPUTS", "Network", "Parts", "Shape", "WeightShape", "weight_shape"]

_COMMON: Final = frozenset({"alpha", "dora_scale", "magnitude", "diff_b"})
_LORA: Final = frozenset({"down", "up", "mid"})
_LOHA: Final = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"})
_LOKR: Final = frozenset({"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"})
_FULL: Final = frozenset({"diff"})
_GLORA: Final = frozenset({"a1", "a2", "b1", "b2"})
_OFT: Final = frozenset({"oft_blocks", "rescale"})
_PEFT_OFT: Final = frozenset({"oft_vectors"})
_PEFT_BOFT: Final = frozenset({"boft_blocks", "boft_scale"})
_VERA: Final = frozenset({"vera_a", "vera_b", "vera_lambda_b", "vera_lambda_d"})
_IA3: Final = frozenset({"ia3_l"})


def weight_shape(parts: Parts) -> WeightShape:
    """The change that the parts make.

    Raises:
        FactsError: parts of no network or of several (`UnsupportedFormat`), parts that are missing or do not belong
            together (`InvalidWeights`).
    """
    kinds = [(own, judge) for own, judge in _JUDGES if own & parts.keys()]
    if not kinds:
        raise invalid(f"{', '.join(sorted(parts))} without weights")
    own, judge = kinds[0]
    others = _COMMON if own.isdisjoint(_GLORA | _OFT | _PEFT_OFT | _PEFT_BOFT | _VERA | _IA3) else {"alpha"}
    if odd := sorted(parts.keys() - own - others):
        raise FactsError(Reason.UNSUPPORTED_FORMAT, f"nothing reads {', '.join(odd)} beside {min(own)}")
    if {"dora_scale", "magnitude"} <= parts.keys():
        raise FactsError(Reason.UNSUPPORTED_FORMAT, "lengths (DoRA) of two layouts")
    if "alpha" in parts and prod(parts["alpha"]) != 1:
        raise invalid("alpha is not one number")
    for name, shape in parts.items():
        if 0 in shape:
            raise invalid(f"{name} of shape {by_sides(shape)} holds nothing")
    weight = judge(parts)
    if not weight.rank and weight.network not in _WITHOUT_RANK:
        raise invalid("rank 0")
    return _with_lengths(weight, parts)


def _with_lengths(weight: WeightShape, parts: Parts) -> WeightShape:
    """The same, with what DoRA's lengths are of; they and the difference of a bias must have the weight's sides."""
    scale = parts.get("dora_scale", ())
    is_of_inputs = len(scale) > 1 and scale[0] == 1 and prod(scale) == scale[1] and _may_be_inputs(weight, scale[1])
    for name in ("magnitude", "diff_b", *(() if is_of_inputs else ("dora_scale",))):
        if name in parts and prod(parts[name]) != weight.outputs:
            raise invalid(f"{name} has shape {by_sides(parts[name])} for {weight.outputs} outputs")
    return replace(weight, scaled_inputs=scale[1]) if is_of_inputs else weight


def _may_be_inputs(weight: WeightShape, count: int) -> bool:
    if weight.inputs is not None:
        return count == weight.inputs
    return weight.columns % count == 0 and (count, weight.outputs) != (1, 1)


def _low_rank(parts: Parts) -> WeightShape:
    down, up = shape_of(parts, "down"), shape_of(parts, "up")
    if len(down) not in (2, 4) or len(up) not in (2, 4) or prod(up[2:]) != 1:
        raise invalid(f"weights of shapes {by_sides(down)} and {by_sides(up)}")
    if down[0] != up[1]:
        raise invalid(f"rank {down[0]} in the down part, {up[1]} in the up part")
    kernel = down[2:]
    if "mid" in parts:
        mid = parts["mid"]
        if len(mid) != 4 or mid[:2] != (down[0], down[0]) or prod(kernel) != 1:
            raise invalid(f"down {by_sides(down)} and mid {by_sides(mid)} do not fit")
        kernel = mid[2:]
    network = Network.DORA if {"magnitude", "dora_scale"} & parts.keys() else Network.LORA
    return WeightShape(network, down[0], up[0], down[1] * prod(kernel), down[1], _kernel(kernel))


def _loha(parts: Parts) -> WeightShape:
    first, second = (_loha_half(parts, which) for which in "12")
    if first != second:
        raise invalid("the halves of the LoHa do not fit each other")
    return first


def _loha_half(parts: Parts, which: str) -> WeightShape:
    a, b = (_matrix(parts, f"hada_w{which}_{side}") for side in "ab")
    if f"hada_t{which}" in parts:  # around the core tensor a is (rank, outputs), else (outputs, rank)
        core = _core(parts, f"hada_t{which}", (a[0], b[0]))
        return WeightShape(Network.LOHA, b[0], a[1], b[1] * prod(core), b[1], _kernel(core))
    if a[1] != b[0]:
        raise invalid(f"rank {a[1]} in hada_w{which}_a, {b[0]} in hada_w{which}_b")
    return WeightShape(Network.LOHA, b[0], a[0], b[1], None)


def _lokr(parts: Parts) -> WeightShape:
    (out_1, in_1, rank_1, _), (out_2, in_2, rank_2, kernel) = (_factor(parts, f"lokr_w{i}") for i in "12")
    if rank_1 and rank_2 and rank_1 != rank_2:
        raise invalid(f"rank {rank_1} in lokr_w1, {rank_2} in lokr_w2")
    inputs = in_1 * in_2
    outputs, columns, rank = out_1 * out_2, inputs * prod(kernel), rank_1 or rank_2
    return WeightShape(Network.LOKR, rank, outputs, columns, inputs if kernel else None, _kernel(kernel))


def _factor(parts: Parts, name: str) -> tuple[int, int, int, Shape]:
    """(rows, columns, rank, kernel) of a factor of a Kronecker product; () where the columns may hold the kernel."""
    if name in parts:
        others = {f"{name}_a", f"{name}_b", name.replace("w", "t")}
        if odd := sorted(others & parts.keys()):
            raise FactsError(Reason.UNSUPPORTED_FORMAT, f"{name} stands beside {', '.join(odd)}")
        shape = parts[name]
        if len(shape) not in (2, 4):
            raise invalid(f"{name} has shape {by_sides(shape)}")
        return shape[0], prod(shape[1:]), 0, ()
    a, b = (_matrix(parts, f"{name}_{side}") for side in "ab")
    if name == "lokr_w2" and "lokr_t2" in parts:
        core = _core(parts, "lokr_t2", (a[0], b[0]))
        return a[1], b[1], b[0], core
    if a[1] != b[0]:
        raise invalid(f"rank {a[1]} in {name}_a, {b[0]} in {name}_b")
    return a[0], b[1], b[0], ()


def _full(parts: Parts) -> WeightShape:
    shape = parts["diff"]
    if len(shape) not in (2, 4):
        message = f"a difference of shape {by_sides(shape)} is of no Linear and no convolution; nothing reads it"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    return WeightShape(Network.FULL, 0, shape[0], prod(shape[1:]), shape[1], _kernel(shape[2:]))


def _glora(parts: Parts) -> WeightShape:
    a1, a2, b1, b2 = (shape_of(parts, name) for name in ("a1", "a2", "b1", "b2"))
    if any(len(shape) not in (2, 4) for shape in (a1, a2, b1, b2)) or prod((*a1[2:], *a2[2:], *b1[2:])) != 1:
        raise invalid(f"weights of shapes {', '.join(map(by_sides, (a1, a2, b1, b2)))}")
    if not a1[1] == a2[0] == b1[1] == b2[0] or not a1[0] == a2[1] == b2[1]:
        raise invalid(f"the pairs {by_sides(a1)}, {by_sides(a2)} and {by_sides(b1)}, {by_sides(b2)} do not fit")
    kernel = b2[2:]
    return WeightShape(Network.GLORA, b2[0], b1[0], b2[1] * prod(kernel), b2[1], _kernel(kernel))


def _vera(parts: Parts) -> WeightShape:
    """A factor for each output and for each of the rank; the projections are the largest module's."""
    if not {"vera_a", "vera_b"} <= parts.keys():
        message = "VeRA without its projections in the file (save_projection); a seed is not read"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    a, b = _matrix(parts, "vera_a"), _matrix(parts, "vera_b")
    of_outputs, of_rank = shape_of(parts, "vera_lambda_b"), shape_of(parts, "vera_lambda_d")
    if of_rank != (a[0],) or a[0] != b[1] or len(of_outputs) != 1 or of_outputs[0] > b[0]:
        shapes = (a, b, of_outputs, of_rank)
        raise invalid(f"VeRA's parts {', '.join(map(by_sides, shapes))} do not fit each other")
    return WeightShape(Network.VERA, a[0], of_outputs[0], 0, None, most_inputs=a[1])


def _ia3(parts: Parts) -> WeightShape:
    """Factors of a Linear: (outputs, 1), or (1, inputs) where PEFT calls it a feed-forward module."""
    shape = parts["ia3_l"]
    if len(shape) == 4:
        message = "IA3 of a convolution is not read: its shape does not tell inputs from outputs"
        raise FactsError(Reason.UNSUPPORTED_FORMAT, message)
    if len(shape) != 2 or 1 not in shape:
        raise invalid(f"ia3_l of shape {by_sides(shape)}")
    if shape[1] == 1:
        return WeightShape(Network.IA3, 0, shape[0], 0, None)
    return WeightShape(Network.IA3, 0, 0, shape[1], shape[1])


_JUDGES: Final = (
    (_LORA, _low_rank),
    (_LOHA, _loha),
    (_LOKR, _lokr),
    (_FULL, _full),
    (_GLORA, _glora),
    (_OFT, of_lycoris),
    (_PEFT_OFT, oft_of_peft),
    (_PEFT_BOFT, boft_of_peft),
    (_VERA, _vera),
    (_IA3, _ia3),
)
_WITHOUT_RANK: Final = frozenset({Network.LOKR, Network.FULL, Network.IA3})


def _matrix(parts: Parts, part: str) -> Shape:
    shape = shape_of(parts, part)
    if len(shape) != 2:
        raise invalid(f"{part} has shape {by_sides(shape)}, which is no matrix")
    return shape


def _core(parts: Parts, part: str, ranks: Shape) -> Shape:
    """The kernel of a core tensor between two matrices of these ranks."""
    shape = parts[part]
    if len(shape) != 4 or shape[:2] != ranks or ranks[0] != ranks[1]:
        raise invalid(f"{part} has shape {by_sides(shape)} between ranks {by_sides(ranks)}")
    return shape[2:]


def _kernel(shape: Shape) -> tuple[int, int] | None:
    return (shape[0], shape[1]) if prod(shape) != 1 else None
