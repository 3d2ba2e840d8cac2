"""GGUF files as people share them, written by the format's own library, and the numbers that they stand for."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize, quantize

# Those that the library can write.
_PACKED: Final = (Kind.Q8_0, Kind.Q5_1, Kind.Q5_0, Kind.Q4_1, Kind.Q4_0)
WHOLE: Final = (Kind.BF16, Kind.F16, Kind.F32)


def write(
    path: Path, weights: Mapping[str, torch.Tensor], architecture: str, whole: Sequence[Kind] = WHOLE
) -> dict[str, torch.Tensor]:
    """Matrices are packed, each by the next kind, where their rows are whole blocks; all else is `whole`, by turns.

    Returns: what is in the file, as the library itself unpacks it, in float32.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_quantization_version(2)
    packed, others = cycle(_PACKED), cycle(whole)
    stored = {}
    for name, weight in weights.items():
        numbers = weight.detach().float().numpy()
        is_packed = weight.dim() == 2 and weight.shape[1] % 32 == 0 and not name.endswith("_pad_token")
        kind = next(packed) if is_packed else next(others)
        data = quantize(numbers, kind)
        if kind in (Kind.F32, Kind.F16):
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, data, raw_dtype=kind)
        stored[name] = torch.from_numpy(np.array(dequantize(data, kind), np.float32)).view(weight.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def z_image_names(transformer: Any) -> dict[str, torch.Tensor]:
    """A Z-Image's weights in the names of the original code."""
    found = dict(transformer.state_dict())
    for name in [name for name in found if name.endswith(".to_q.weight")]:
        stem = name.removesuffix("to_q.weight")
        parts = [found.pop(f"{stem}to_{which}.weight") for which in "qkv"]
        found[f"{stem}qkv.weight"] = torch.cat(parts)
    renamed = (
        ("all_final_layer.2-1.", "final_layer."),
        ("all_x_embedder.2-1.", "x_embedder."),
        (".attention.to_out.0.", ".attention.out."),
        (".attention.norm_k.", ".attention.k_norm."),
        (".attention.norm_q.", ".attention.q_norm."),
    )
    return {_renamed(name, renamed): weight for name, weight in found.items()}


def _renamed(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for own, original in pairs:
        name = name.replace(own, original)
    return name
