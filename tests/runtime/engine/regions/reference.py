"""Masked adapters by their formula, on diffusers' own pipelines: y = W x + m (s dW x), in float64."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests import tiny
from torch import nn
from torch.nn import functional

_WORDS = re.compile(r"attn2\.to_[kv]$")


@dataclass(frozen=True)
class MaskedChanges:
    """Changes of an adapter at a strength, where the picture is white; 8-bit grey."""

    changes: Sequence[tiny.Change]
    strength: float
    mask: Image.Image

    @property
    def white(self) -> np.ndarray[Any, Any]:
        return np.asarray(self.mask, dtype=np.float64) / 255

    @property
    def share(self) -> float:
        return float(self.white.mean())

    def pooled(self, height: int, width: int) -> torch.Tensor:
        """The mean of each cell, which the sides divide evenly: (height, width)."""
        rows, columns = self.white.shape
        cells = self.white.reshape(height, rows // height, width, columns // width)
        return torch.from_numpy(cells.mean(axis=(1, 3)))


def apply_masked(
    pipeline: Any, component: str, masked: Sequence[MaskedChanges], cells: Sequence[tuple[int, int]]
) -> None:
    """Write the formula into the pipeline's modules.

    Args:
        cells: (height, width) of each size of sequence that the denoiser has.
    """
    denoiser = getattr(pipeline, component)
    uses: dict[str, list[tuple[MaskedChanges, torch.Tensor]]] = {}
    for one in masked:
        for change in one.changes:
            if change.component == component:
                weight = denoiser.get_submodule(change.module).weight
                delta = (one.strength * change.delta).reshape(weight.shape)
                uses.setdefault(change.module, []).append((one, delta))
        text = [change for change in one.changes if change.component != component]
        tiny.merge(pipeline, [(text, one.strength * one.share)])
    apart: dict[str, dict[str, Any]] = {}
    for name, found in uses.items():
        module = denoiser.get_submodule(name)
        if component == "unet" and _WORDS.search(name):
            apart.setdefault(name.rpartition(".")[0], {})[name[-1]] = found
        elif isinstance(module, nn.Conv2d):
            module.forward = _convolution(module, found)  # type: ignore[method-assign]
        else:
            module.forward = _linear(module, name, found, cells)
    for name, parts in apart.items():
        denoiser.get_submodule(name).set_processor(_CrossAttention(parts, masked, cells))


def _convolution(module: nn.Conv2d, uses: Sequence[tuple[MaskedChanges, torch.Tensor]]) -> Any:
    own = module.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = own(x)
        for one, delta in uses:
            change = functional.conv2d(x.double(), delta, None, module.stride, module.padding)
            out = out + (one.pooled(*out.shape[2:]) * change).to(out.dtype)
        return out

    return forward


def _linear(module: Any, name: str, uses: Any, cells: Sequence[tuple[int, int]]) -> Any:
    own = module.forward

    def forward(x: torch.Tensor, *args: Any) -> torch.Tensor:
        out: torch.Tensor = own(x)
        for one, delta in uses:
            out = out + (_weights(one, name, out, cells) * (x.double() @ delta.T)).to(out.dtype)
        return out

    return forward


def _weights(one: MaskedChanges, name: str, out: torch.Tensor, cells: Sequence[tuple[int, int]]) -> torch.Tensor:
    """The mask at each token; the share of what is white for words and for what is no sequence."""
    if out.dim() < 3 or "add_" in name or "context" in name or "txt_" in name:
        return torch.tensor(one.share).double()
    for height, width in cells:
        words = out.shape[1] - height * width
        if words == 0 or (words > 0 and len(cells) == 1):
            return torch.cat([torch.full((words,), one.share).double(), one.pooled(height, width).flatten()])[:, None]
    raise AssertionError(f"{name} has {out.shape[1]} tokens")


class _CrossAttention:
    """Attention to words, whose keys and values are another adapter's where that one counts; mixed before the
    projection."""

    def __init__(
        self, parts: dict[str, Any], masked: Sequence[MaskedChanges], cells: Sequence[tuple[int, int]]
    ) -> None:
        self.parts, self.masked, self.cells = parts, masked, cells

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: Any = None, **_: Any) -> Any:
        query, words = attn.to_q(hidden_states).double(), encoder_hidden_states.double()

        def attended(of: MaskedChanges | None) -> torch.Tensor:
            weights = {"k": attn.to_k.weight.double(), "v": attn.to_v.weight.double()}
            for which, uses in self.parts.items():
                for one, delta in uses:
                    weights[which] = weights[which] + delta if one is of else weights[which]
            each = (query, words @ weights["k"].T, words @ weights["v"].T)
            q, k, v = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in each)
            shares = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
            made: torch.Tensor = (shares @ v).transpose(1, 2).flatten(2)
            return made

        base = attended(None)
        total = base
        for one in self.masked:
            total = total + _weights(one, "attn2", base, self.cells) * (attended(one) - base)
        return attn.to_out[0](total.to(hidden_states.dtype))
