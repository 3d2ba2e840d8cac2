"""lorapool's ways to switch: what its engine does between a request and the first forward for it, with its parts."""

from collections.abc import Sequence
from typing import Any

import torch

from lorapool_bench.measure.clock import Parts
from lorapool_runtime.adapters.file import AdapterFile, ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Switchboard
from lorapool_runtime.engine.diffusers.plans import Plans
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter, read_adapter


class PooledUNet:
    """A UNet as the engine holds it, with adapters that have been read.

    The engine's own `render` goes on to draw; here the modules and the adapters' tiers are all there is. Where the
    device is the CPU, the copy that a device with memory of its own needs is made all the same, into memory that was
    used before: a device's allocator keeps what was freed, where a CPU's would ask the kernel for pages again.
    """

    def __init__(self, unet: Any, files: Sequence[AdapterFile], *, merge: bool = False) -> None:
        self.unet = unet
        self._merge = merge
        self._board = Switchboard({"unet": unet})
        self._plans = Plans(self._board)
        self._host = {file.identity: self.read(file) for file in files}
        self._device: dict[str, DeviceAdapter] = {}
        self._flat: dict[str, torch.Tensor] = {}
        self._freed: torch.Tensor | None = None

    def read(self, file: AdapterFile) -> LoraAdapter:
        """From disk to host memory."""
        weight = next(self.unet.parameters())
        return read_adapter(file, self._board, weight.dtype, widths={})

    def load(self, adapter: LoraAdapter) -> None:
        """From host memory to the device."""
        device = next(self.unet.parameters()).device
        if device.type == "cpu" and self._freed is not None and self._freed.shape == adapter.flat.shape:
            flat, self._freed = self._freed.copy_(adapter.flat), None
        else:
            flat = adapter.flat.to(device, copy=True)
        self._flat[adapter.identity] = flat
        self._device[adapter.identity] = adapter.device_adapter(flat)

    def forget(self, file: AdapterFile) -> None:
        """Not on the device any more; it must not be active."""
        self._device.pop(file.identity, None)
        self._freed = self._flat.pop(file.identity, None)
        self._plans.keep_only(self._device.keys())

    def bare(self) -> None:
        """The bare base."""
        self._board.switch(self._plans.get((), merge=False))

    def switch(self, to: AdapterFile, parts: Parts | None = None) -> Parts:
        """Activate that one, from wherever it is nearest."""
        parts = Parts() if parts is None else parts
        with parts.part("check"):
            # As for every stack: two DoRAs cannot be in one.
            self._host[to.identity].has_magnitude  # noqa: B018
        if to.identity not in self._device:
            with parts.part("bring"):
                self.load(self._host[to.identity])
        with parts.part("set"):
            self._board.switch(self._plans.get((ScaledAdapter(self._device[to.identity], 1.0),), merge=self._merge))
        return parts

    def mix(self, files: Sequence[AdapterFile]) -> None:
        """Activate a batch: one picture with each of these adapters."""
        for file in files:
            if file.identity not in self._device:
                self.load(self._host[file.identity])
        self._board.switch(self._board.plan_rows([((ScaledAdapter(self._device[f.identity], 1.0),), 1) for f in files]))

    def switch_from_disk(self, to: AdapterFile) -> Parts:
        parts = Parts()
        with parts.part("read"):
            self._host[to.identity] = self.read(to)
        return self.switch(to, parts)


class Pooled:
    """The switch from the tier that `name` says; `merged` is from the device, and computes the weights anew."""

    def __init__(self, name: str, pool: PooledUNet) -> None:
        self.name = name
        self.unet = pool.unet
        self._pool = pool

    def prepare(self, to: AdapterFile) -> None:
        if self.name in {"host", "disk"}:
            self._pool.forget(to)

    @torch.inference_mode()
    def switch(self, to: AdapterFile) -> Parts:
        return self._pool.switch_from_disk(to) if self.name == "disk" else self._pool.switch(to)

    def leave(self) -> Parts:
        return Parts()
