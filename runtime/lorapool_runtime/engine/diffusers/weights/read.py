"""From a checked adapter file to the changes of a base's modules, in one flat buffer of host memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final

import torch

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora import peft_config
from lorapool_api.lora.header import FactsError, TensorInfo
from lorapool_api.lora.layouts.keys import SHARED
from lorapool_api.lora.layouts.mmdit import RowRanges
from lorapool_api.lora.layouts.originals import is_original
from lorapool_api.lora.networks import Network, WeightShape
from lorapool_api.lora.peft_config import PeftConfig
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.engine.diffusers.host_threads import one_thread
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Switchboard
from lorapool_runtime.engine.diffusers.layers.target import TargetModule
from lorapool_runtime.engine.diffusers.weights.embeddings import Widths, read_embeddings
from lorapool_runtime.engine.diffusers.weights.flat import flatten, read_bytes, tensor_of
from lorapool_runtime.engine.diffusers.weights.parts import ModuleParts, parts_of
from lorapool_runtime.errors import AdapterError

# Far beyond what anybody trains with, and ten times it, the largest scale of a request, is still a float16.
_MOST_SCALE: Final = 6000.0
_SHARED: Final = frozenset(SHARED.values())


@dataclass(frozen=True)
class FlatDelta:
    """Where a module's parts lie in the flat buffer: name -> (first element, shape)."""

    target: TargetModule
    network: Network
    parts: Mapping[str, tuple[int, tuple[int, ...]]]
    scale: float
    rows: RowRanges = ()


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter's weights as one flat buffer with a table of views into it; one copy brings it elsewhere."""

    identity: str
    sha256: str
    flat: torch.Tensor
    slots: tuple[FlatDelta, ...]
    embeddings: Mapping[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    """Rows of new tokens in the buffer: component -> (first element, shape)."""

    @property
    def size_bytes(self) -> int:
        return self.flat.numel() * self.flat.element_size()

    @property
    def has_magnitude(self) -> bool:
        """Whether it is a DoRA."""
        return any("magnitude" in p for s in self.slots for p in s.parts)

    @property
    def mixes(self) -> bool:
        """Whether a picture with it can share a forward with others: it adds low-rank pairs to the denoiser."""
        of_denoiser = [s for s in self.slots if not s.target.is_text]
        return all(s.network is Network.LORA and s.parts.keys() == {"down", "up"} for s in of_denoiser)

    def device_adapter(self, flat: torch.Tensor) -> DeviceAdapter:
        """The adapter as views into the buffer, or into a copy of it on a device."""
        embeddings = {component: _view(flat, at) for component, at in self.embeddings.items()}
        return DeviceAdapter(
            self.identity, tuple(_delta(slot, flat) for slot in self.slots), self.size_bytes, embeddings
        )


def _delta(slot: FlatDelta, flat: torch.Tensor) -> ModuleDelta:
    parts = {name: _view(flat, at) for name, at in slot.parts.items()}
    return ModuleDelta(slot.target, slot.network, parts, slot.scale, slot.rows)


def _view(flat: torch.Tensor, at: tuple[int, tuple[int, ...]]) -> torch.Tensor:
    first, shape = at
    return flat[first : first + prod(shape)].view(shape)


@one_thread()
def read_adapter(file: AdapterFile, board: Switchboard, dtype: torch.dtype, *, widths: Widths) -> LoraAdapter:
    """Read a file that fits that base, as `lorapool_api.lora.fit.check_fits` says; all of its tensors are used.

    Args:
        widths: of the text encoders' tables that take new tokens.

    Raises:
        AdapterError: what the header does not tell: a bias that the base lacks, an alpha that means nothing, weights
            that the base's dtype cannot hold, files beside it that cannot be read.
        FileNotFoundError: the file has left the cache.
    """
    modules = list(file.facts.layout.tensors())
    infos = [info for _, parts in modules for info in parts.values()]
    data = read_bytes(file.path, infos, file.facts.size_bytes)
    scales = _Scales(file)
    found: list[tuple[ModuleParts, float]] = []
    shared: dict[TensorInfo, torch.Tensor] = {}
    for module, parts in modules:
        tensors = {
            part: shared.setdefault(info, tensor_of(data, info)) if part in _SHARED else tensor_of(data, info)
            for part, info in parts.items()
        }
        cut = parts_of(board, module, tensors, scales.config)
        scale = scales.of(cut[0].target, module.weight, tensors.get("alpha"))
        found += [(each, scale) for each in cut]
    embeddings = read_embeddings(file.sidecars.embeddings, widths) if file.sidecars.embeddings is not None else {}
    # What modules share, those of one fused module or of a whole file, lies there once.
    unique = {id(t): t for each, _ in found for t in each.parts.values()} | {id(t): t for t in embeddings.values()}
    flat = flatten(data, infos, list(unique.values()), dtype)
    there = {key: (start, tuple(t.shape)) for (key, t), start in zip(unique.items(), flat.starts, strict=True)}
    slots = tuple(
        FlatDelta(each.target, each.network, {name: there[id(t)] for name, t in each.parts.items()}, scale, each.rows)
        for each, scale in found
    )
    rows = {component: there[id(t)] for component, t in embeddings.items()}
    return LoraAdapter(file.identity, file.sha256, flat.buffer, slots, rows)


class _Scales:
    """alpha / rank of each module, from wherever the layout keeps it."""

    def __init__(self, file: AdapterFile) -> None:
        """Raises: AdapterError where nothing says alpha, or the configuration beside the file cannot be used."""
        self._by_component = file.facts.peft_configs
        config = file.sidecars.peft_config
        try:
            self._sidecar = None if config is None else peft_config.from_file(config)
        except FactsError as error:
            raise AdapterError.of(error) from error
        # Who trains the original code of a transformer with PEFT uploads the weights alone. diffusers and ComfyUI take
        # alpha for the rank there.
        is_bare = any(is_original(module.module) for module in file.facts.modules)
        if file.facts.format is AdapterFormat.PEFT and not (self._by_component or self._sidecar or is_bare):
            message = "a PEFT file without its adapter_config.json: nothing says its alpha"
            raise AdapterError(Reason.UNSUPPORTED_FORMAT, message)

    def config(self, component: str) -> PeftConfig | None:
        """PEFT's configuration of a component, where the file or what lies beside it has one."""
        return self._by_component.get(component, self._sidecar)

    def of(self, target: TargetModule, weight: WeightShape, alpha: torch.Tensor | None) -> float:
        if not weight.has_scale:
            return 1.0
        if alpha is not None:
            # LyCORIS writes an alpha for two full factors too, often a huge one, and does not use it.
            return self._checked(float(alpha.item()), weight.rank, target) if weight.rank else 1.0
        config = self.config(target.component)
        if config is None:
            return 1.0  # both diffusers and kohya: no alpha means alpha = rank
        return self._checked(config.scale((target.name, f"text_model.{target.name}"), weight.rank), 1, target)

    @staticmethod
    def _checked(alpha: float, rank: int, target: TargetModule) -> float:
        if alpha == 0 or not abs(alpha / rank) <= _MOST_SCALE:
            raise AdapterError(Reason.INVALID_WEIGHTS, f"{target}: alpha is {alpha:g}")
        return alpha / rank
