"""LoRA files with random weights for a UNet, as diffusers writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lorapool_bench.subjects.unet import ATTENTION, FEED_FORWARD, linears
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile


@dataclass(frozen=True)
class AdapterKind:
    """What an adapter changes, and its rank; on SDXL's shape that makes its size."""

    ends: tuple[str, ...]
    rank: int


KINDS: Final[Mapping[str, AdapterKind]] = MappingProxyType(
    {
        "46 MB": AdapterKind(ATTENTION, 16),
        "168 MB": AdapterKind((*ATTENTION, *FEED_FORWARD), 32),
    }
)


@dataclass(frozen=True)
class Pair:
    """W' = W + up @ down, in float64."""

    down: torch.Tensor
    up: torch.Tensor

    @property
    def delta(self) -> torch.Tensor:
        return self.up @ self.down


def write_adapter(path: Path, unet: Any, kind: AdapterKind, dtype: torch.dtype, seed: int) -> AdapterFile:
    """A file whose changes are a tenth of the weights that they change; alpha is the rank."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, linear in linears(unet, kind.ends).items():
        outputs, inputs = linear.weight.shape
        down = torch.randn((kind.rank, inputs), generator=generator) * inputs**-0.5
        up = torch.randn((outputs, kind.rank), generator=generator) * 0.1 * kind.rank**-0.5
        tensors[f"unet.{name}.lora_A.weight"] = down.to(dtype)
        tensors[f"unet.{name}.lora_B.weight"] = up.to(dtype)
    save_file(tensors, path)
    with path.open("rb") as file:
        return AdapterFile(path, file_digest(file, "sha256").hexdigest(), check_file(path, kind.rank))


def read_pair(file: AdapterFile, module: str) -> Pair:
    """What the file says of one module."""
    with safe_open(file.path, "pt") as opened:
        down, up = (opened.get_tensor(f"unet.{module}.lora_{side}.weight").double() for side in "AB")
    return Pair(down, up)
