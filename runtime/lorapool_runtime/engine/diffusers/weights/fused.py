"""A module of a file on the modules of the base: mostly one on one; what a file fuses is cut along the base's rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import Network
from lorapool_api.lora.fit import denoiser
from lorapool_api.lora.layouts.mmdit import Cut, Fused, Rows, rows_of, taken_apart
from lorapool_runtime.engine.diffusers.layers import delta
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.layers.target import Place
from lorapool_runtime.engine.diffusers.weights.shapes import Settled, Shape, Tensors, settle
from lorapool_runtime.errors import AdapterError


@dataclass(frozen=True)
class Piece:
    """What a file says about one module of the base.

    Attributes:
        parts: in the shapes that `layers.change` takes; pieces of one module share those that cannot be cut.
        rank: what alpha is divided by; None where no part has a rank of its own.
        rows: of what the parts make, those that are this module's; (): all.
    """

    place: Place
    network: Network
    parts: Mapping[str, torch.Tensor]
    rank: int | None
    rows: Rows = ()


@dataclass(frozen=True)
class _Whole:
    """A weight that the base has in pieces."""

    name: str
    shape: Shape
    has_bias: bool

    def __str__(self) -> str:
        return self.name


def pieces_of(board: Switchboard, component: str, module: str, tensors: Tensors) -> Sequence[Piece]:
    """The module's tensors for each module of the base that it stands for.

    Raises:
        AdapterError: a module that the base lacks, parts that do not fit it or each other.
    """
    fused = taken_apart(module)
    places = [_found(board, denoiser(component, board.components), name) for name in fused.modules]
    if fused.cut is Cut.WHOLE:
        settled = settle(places[0], tensors)
        return [Piece(places[0], settled.network, settled.parts, settled.rank)]
    shape = (sum(p.shape[0] for p in places), *places[0].shape[1:])
    whole = _Whole(f"{component} {module}", shape, all(p.has_bias for p in places))
    settled = settle(whole, tensors)
    if len(places) > 1 and "magnitude_in" in settled.parts:
        message = f"{whole}: dora_scale along the inputs, over modules that the base has apart"
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, message)
    return [_piece(place, settled, rows) for place, rows in zip(places, _cut(fused, whole, places), strict=True)]


def _found(board: Switchboard, component: str, module: str) -> Place:
    place = board.find(component, module)
    if place is None:
        raise AdapterError(Reason.BASE_MODEL_MISMATCH, f"the base has no module {component} {module}")
    return place


def _cut(fused: Fused, whole: _Whole, places: Sequence[Place]) -> Sequence[Rows]:
    cut = rows_of(fused, whole.shape[0], prod(whole.shape[1:])) or ()
    sizes = [sum(end - begin for begin, end in rows) or whole.shape[0] for rows in cut]
    if sizes != [p.shape[0] for p in places] or len({p.shape[1:] for p in places}) != 1:
        made = ", ".join(f"{p} {p.shape}" for p in places)
        raise AdapterError(Reason.BASE_MODEL_MISMATCH, f"{whole} cannot be cut into {made}")
    return cut


# The part of each network that has the weight's rows, and along which of its sides.
_ROWS: Final = {Network.LORA: {"up": 0}, Network.FULL: {"diff": 0}, Network.LOKR: {}}


def _piece(place: Place, settled: Settled, rows: Rows) -> Piece:
    parts, network = dict(settled.parts), settled.network
    sides = _ROWS.get(network) if network is not Network.LOHA else _loha_sides(parts)
    for name, side in {**(sides or {}), "magnitude": 0, "diff_b": 0}.items():
        if name in parts:
            parts[name] = delta.rows_of(parts[name], rows, side)
    # A block of a Kronecker product is none of smaller factors: it is cut out of the whole.
    return Piece(place, network, parts, settled.rank, rows if network is Network.LOKR else ())


def _loha_sides(parts: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Around a core tensor the rows are the columns of `a`."""
    return {f"hada_w{half}_a": int(f"hada_t{half}" in parts) for half in "12"}
