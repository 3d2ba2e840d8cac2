"""Packing the weights of a base while it is loaded: which Linears, and by which library."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from lorapool_api.kinds.base_model import Quantization, QuantizationMethod
from lorapool_runtime.engine.diffusers.packed.weights import PackedLinear, has_state
from lorapool_runtime.errors import ModelError

# A weight on its device -> the same packed, there too. Called on several threads.
Pack = Callable[[torch.Tensor], nn.Parameter]

# The values of one block of nf4, as in arXiv:2305.14314.
_NF4_BLOCK: Final = 64


@dataclass(frozen=True)
class Packing:
    """How a pool wants its base packed.

    Attributes:
        skip: dotted names, the component first: these modules and all below them stay as they are.
    """

    pack: Pack
    skip: tuple[str, ...] = ()

    def names(self, component: str, module: nn.Module) -> frozenset[str]:
        """The Linears of the component whose weights are packed, by their dotted names in it."""
        return frozenset(name for name, _ in self._linears(component, module))

    def apply(self, component: str, module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        """Pack what a library has loaded, weight by weight; each of them goes to the device.

        Weights of another dtype are left: their library keeps them for what smaller numbers cannot hold.
        """
        for _, linear in self._linears(component, module):
            if linear.weight.dtype is not dtype:
                continue
            linear.weight = self.pack(linear.weight.detach().to(device))
            settle(linear)

    def check(self, components: Mapping[str, nn.Module]) -> None:
        """Raises: ModelError for a name to skip that the base does not have."""
        there = set(components)
        for component, module in components.items():
            there.update(f"{component}.{name}" for name, _ in module.named_modules())
        missing = [name for name in self.skip if name not in there]
        if missing:
            raise ModelError(
                f"model.quantization.skip names {missing[0]}, which the base does not have: write component.module, "
                "for example transformer.proj_out, or a component alone"
            )

    def _linears(self, component: str, module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
        if not _is_packable(component):
            return
        for name, part in module.named_modules():
            if type(part) is nn.Linear and not self._skips(f"{component}.{name}"):
                yield name, part

    def _skips(self, name: str) -> bool:
        return any(name == skipped or name.startswith(f"{skipped}.") for skipped in self.skip)


def settle(linear: nn.Linear) -> None:
    """Make it a module that can multiply with its packed weight."""
    if has_state(linear):
        linear.__class__ = PackedLinear


def packing_of(wanted: Quantization | None) -> Packing | None:
    """None where the base stays as it is. Raises: ModelError where the method's library is missing."""
    if wanted is None:
        return None
    try:
        return Packing(_PACKERS[wanted.method](), wanted.skip)
    except ImportError as error:
        raise ModelError(
            f"model.quantization.method {wanted.method} needs {error.name}, which this image does not have: "
            "take one that was built with the packages of lorapool[quantized]"
        ) from error


def _is_packable(component: str) -> bool:
    """The denoiser and text encoders; a VAE is small, and its convolutions are not packed."""
    return component in ("unet", "transformer") or component.startswith("text_encoder")


def _by_torchao(config: str) -> Pack:
    from torchao import quantization

    made: Any = getattr(quantization, config)()

    def pack(weight: torch.Tensor) -> nn.Parameter:
        # `quantize_` takes modules.
        holder = nn.Linear(1, 1, bias=False, device="meta")
        holder.weight = nn.Parameter(weight, requires_grad=False)
        quantization.quantize_(holder, made)
        return holder.weight

    return pack


def _by_bitsandbytes() -> Pack:
    from bitsandbytes.nn import Params4bit

    def pack(weight: torch.Tensor) -> nn.Parameter:
        made = Params4bit(weight, requires_grad=False, quant_type="nf4", blocksize=_NF4_BLOCK)
        packed: nn.Parameter = made.to(weight.device)  # where it happens
        return packed

    return pack


_PACKERS: Final[Mapping[QuantizationMethod, Callable[[], Pack]]] = {
    QuantizationMethod.INT8: lambda: _by_torchao("Int8WeightOnlyConfig"),
    QuantizationMethod.FP8: lambda: _by_torchao("Float8WeightOnlyConfig"),
    QuantizationMethod.NF4: _by_bitsandbytes,
}
