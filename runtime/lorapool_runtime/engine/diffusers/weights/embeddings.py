"""Tokens that were learned with an adapter (textual inversion, pivotal tuning): rows for the text encoders' tables.

They lie in `embeddings.safetensors` beside the weights: `clip_l` and `clip_g` as diffusers' trainers write them, or
`text_encoders_0` and `text_encoders_1`; row i is the token `<si>`.
"""

from collections.abc import Mapping
from typing import Final

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import TEXT_ENCODER, TEXT_ENCODER_2
from lorapool_api.lora.header import FLOATS, LENGTH_BYTES, FactsError, HeaderLimits, header_length, parse_header
from lorapool_api.lora.header_json import MetadataLimits
from lorapool_runtime.engine.diffusers.base.mapped import DTYPES
from lorapool_runtime.errors import AdapterError

_COMPONENTS: Final = {
    "clip_l": TEXT_ENCODER,
    "clip_g": TEXT_ENCODER_2,
    "text_encoders_0": TEXT_ENCODER,
    "text_encoders_1": TEXT_ENCODER_2,
}
_MOST: Final = 256
# It names two tables at most.
_LIMITS: Final = HeaderLimits(64 * 1024, 16, MetadataLimits(32 * 1024, 100))

Widths = Mapping[str, int]


def token(index: int) -> str:
    """How a prompt names the row."""
    return f"<s{index}>"


def read_embeddings(content: bytes, widths: Widths) -> dict[str, torch.Tensor]:
    """component -> rows (tokens, width) in the file's dtype.

    Args:
        widths: the width of each text encoder's table that the base has.

    Raises:
        AdapterError: not such a file (`UnsupportedFormat`), not for this base (`BaseModelMismatch`), not finite.
    """
    try:
        end = LENGTH_BYTES + header_length(content[:LENGTH_BYTES], len(content), _LIMITS)
        header = parse_header(content[LENGTH_BYTES:end], len(content), _LIMITS)
    except FactsError as error:
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, f"embeddings.safetensors: {error.message}") from error
    rows: dict[str, torch.Tensor] = {}
    for name, info in header.tensors.items():
        component = _COMPONENTS.get(name)
        is_table = info.dtype in FLOATS and len(info.shape) == 2 and 0 not in info.shape
        if component is None or component in rows or not is_table:
            message = f"embeddings.safetensors: {name[:80]!r} ({info.dtype}, {info.shape}) is no table of new tokens"
            raise AdapterError(Reason.UNSUPPORTED_FORMAT, message)
        table = torch.frombuffer(bytearray(content[end + info.begin : end + info.end]), dtype=DTYPES[info.dtype])
        rows[component] = table.view(info.shape)
    _check(rows, widths)
    return rows


def _check(rows: Mapping[str, torch.Tensor], widths: Widths) -> None:
    for component, table in rows.items():
        if widths.get(component) != table.shape[1]:
            wanted = f"{widths[component]} wide" if component in widths else "absent"
            message = f"embeddings.safetensors: tokens for {component} are {table.shape[1]} wide; in the base: {wanted}"
            raise AdapterError(Reason.BASE_MODEL_MISMATCH, message)
        if not torch.isfinite(table).all():
            raise AdapterError(Reason.INVALID_WEIGHTS, "embeddings.safetensors holds NaN or infinity")
    counts = {table.shape[0] for table in rows.values()}
    if len(counts) != 1 or not 0 < min(counts) <= max(counts) <= _MOST:
        message = (
            f"embeddings.safetensors: {sorted(counts)} tokens for the text encoders; 1 to {_MOST} in each expected"
        )
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, message)
