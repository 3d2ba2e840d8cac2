"""From a checked adapter file to the changes of a base's modules, in one flat buffer of host memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final

import torch

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import Network, parts_by_module
from lorapool_api.lora.header import Header
from lorapool_api.lora.layouts.mmdit import Rows
from lorapool_runtime.adapters.check import checked_header
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.engine.diffusers.layers.delta import Change
from lorapool_runtime.engine.diffusers.layers.switchboard import Loaded, Switchboard
from lorapool_runtime.engine.diffusers.layers.target import Place
from lorapool_runtime.engine.diffusers.weights import peft_config
from lorapool_runtime.engine.diffusers.weights.embeddings import Widths, read_words
from lorapool_runtime.engine.diffusers.weights.flat import flatten, read_bytes, tensor_of
from lorapool_runtime.engine.diffusers.weights.fused import Piece, pieces_of
from lorapool_runtime.errors import AdapterError

# Far beyond what anybody trains with, and ten times it, the largest scale of a request, is still a float16.
_MOST_SCALE: Final = 6000.0


@dataclass(frozen=True)
class Slot:
    """Where a module's parts lie in the flat buffer: name -> (first element, shape)."""

    place: Place
    network: Network
    parts: Mapping[str, tuple[int, tuple[int, ...]]]
    scale: float
    rows: Rows = ()


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter's weights as one flat buffer with a table of views into it; one copy brings it elsewhere."""

    identity: str
    sha256: str
    flat: torch.Tensor
    slots: tuple[Slot, ...]
    words: Mapping[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    """New words' rows in the buffer: component -> (first element, shape)."""

    @property
    def size_bytes(self) -> int:
        return self.flat.numel() * self.flat.element_size()

    @property
    def has_gain(self) -> bool:
        """Whether it is a DoRA."""
        return any("magnitude" in p for s in self.slots for p in s.parts)

    @property
    def mixes(self) -> bool:
        """Whether a picture with it can share a forward with others: it adds low-rank pairs to the denoiser."""
        of_denoiser = [s for s in self.slots if not s.place.is_text]
        return all(s.network is Network.LORA and s.parts.keys() == {"down", "up"} for s in of_denoiser)

    def loaded(self, flat: torch.Tensor) -> Loaded:
        """The adapter as views into the buffer, or into a copy of it on a device."""
        words = {component: _view(flat, at) for component, at in self.words.items()}
        return Loaded(self.identity, tuple(_change(slot, flat) for slot in self.slots), self.size_bytes, words)


def _change(slot: Slot, flat: torch.Tensor) -> Change:
    parts = {name: _view(flat, at) for name, at in slot.parts.items()}
    return Change(slot.place, slot.network, parts, slot.scale, slot.rows)


def _view(flat: torch.Tensor, at: tuple[int, tuple[int, ...]]) -> torch.Tensor:
    first, shape = at
    return flat[first : first + prod(shape)].view(shape)


def read_adapter(file: AdapterFile, board: Switchboard, dtype: torch.dtype, *, widths: Widths) -> LoraAdapter:
    """Read the file for that base; every key of it is consumed, every module of it is found.

    Args:
        widths: of the text encoders' tables that take new words.

    Raises:
        AdapterError: a module that the base lacks, parts that do not fit together, weights that the base's dtype
            cannot hold.
        FileNotFoundError: the file has left the cache.
    """
    header = checked_header(file.path)
    data = read_bytes(file.path, header)
    scales = _Scales(file, header)
    modules = parts_by_module(header)
    if sum(len(parts) for parts in modules.values()) != len(header.tensors):
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, "two keys of the file name the same part of a module")
    found: list[tuple[Piece, float]] = []
    for (component, module), infos in sorted(modules.items()):
        tensors = {part: tensor_of(data, info) for part, info in infos.items()}
        pieces = pieces_of(board, component, module, tensors)
        scale = scales.of(pieces[0], tensors)
        found += [(piece, scale) for piece in pieces]
    _check_once(found)
    words = read_words(file.sidecars.embeddings, widths) if file.sidecars.embeddings is not None else {}
    # What pieces of one module share lies there once.
    unique = {id(t): t for piece, _ in found for t in piece.parts.values()} | {id(t): t for t in words.values()}
    flat = flatten(data, header, list(unique.values()), dtype)
    there = {key: (start, tuple(t.shape)) for (key, t), start in zip(unique.items(), flat.starts, strict=True)}
    slots = tuple(
        Slot(piece.place, piece.network, {name: there[id(t)] for name, t in piece.parts.items()}, scale, piece.rows)
        for piece, scale in found
    )
    rows = {component: there[id(t)] for component, t in words.items()}
    return LoraAdapter(file.identity, file.sha256, flat.buffer, slots, rows)


def _check_once(found: Iterable[tuple[Piece, float]]) -> None:
    seen: set[int] = set()
    for piece, _ in found:
        if id(piece.place.module) in seen:
            raise AdapterError(Reason.UNSUPPORTED_FORMAT, f"two modules of the file change {piece.place}")
        seen.add(id(piece.place.module))


class _Scales:
    """alpha / rank of each module, from wherever the layout keeps it."""

    def __init__(self, file: AdapterFile, header: Header) -> None:
        self._by_component = peft_config.from_metadata(header.metadata)
        self._sidecar_config = (
            peft_config.from_file(file.sidecars.peft_config) if file.sidecars.peft_config is not None else None
        )
        if file.facts.format is AdapterFormat.PEFT and not self._by_component and self._sidecar_config is None:
            message = "a PEFT file without its adapter_config.json: nothing says its alpha"
            raise AdapterError(Reason.UNSUPPORTED_FORMAT, message)

    def of(self, piece: Piece, tensors: Mapping[str, torch.Tensor]) -> float:
        place = piece.place
        if "alpha" in tensors:
            # LyCORIS writes an alpha for two full factors too, often a huge one, and does not use it.
            return self._checked(_alpha(tensors["alpha"], place), piece.rank, place) if piece.rank else 1.0
        config = self._by_component.get(place.component, self._sidecar_config)
        if config is None:
            return 1.0  # both diffusers and kohya: no alpha means alpha = rank
        return self._checked(config.scale((place.name, f"text_model.{place.name}"), piece.rank), 1, place)

    @staticmethod
    def _checked(alpha: float, rank: int, place: Place) -> float:
        if alpha == 0 or not abs(alpha / rank) <= _MOST_SCALE:
            raise AdapterError(Reason.INVALID_WEIGHTS, f"{place}: alpha is {alpha:g}")
        return alpha / rank


def _alpha(tensor: torch.Tensor, place: Place) -> float:
    if tensor.numel() != 1:
        raise AdapterError(Reason.INVALID_WEIGHTS, f"{place}: alpha is not one number")
    return float(tensor.item())
