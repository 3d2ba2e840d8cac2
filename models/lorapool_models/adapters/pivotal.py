"""New words that are learned together with an adapter: pivotal tuning.

They travel beside the adapter in `embeddings.safetensors`: `clip_l` for the first text encoder, `clip_g` for the
second, one row for each of `<s0>`, `<s1>`, ... in their order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_KEYS: Final = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
FILE: Final = "embeddings.safetensors"


def words(count: int) -> list[str]:
    return [f"<s{i}>" for i in range(count)]


def add(pipeline: Any, count: int, like: str) -> list[nn.Parameter]:
    """Teach both tokenizers the new words, which start out as a known one, and return the tables to be trained.

    Only the new rows of these tables learn.
    """
    tables = []
    for tokenizer in {id(t): t for t in (pipeline.tokenizer, pipeline.tokenizer_2)}.values():
        tokenizer.add_tokens(words(count))
    for component in _KEYS:
        encoder = getattr(pipeline, component)
        encoder.resize_token_embeddings(len(pipeline.tokenizer), mean_resizing=False)
        table = encoder.get_input_embeddings().weight
        with torch.no_grad():
            table[-count:] = table[pipeline.tokenizer(like).input_ids[1]] + torch.randn_like(table[-count:]) * 0.01
        table.requires_grad_(True)
        table.register_hook(_only_last(count))
        tables.append(table)
    return tables


def _only_last(count: int) -> Any:
    def masked(gradient: Tensor) -> Tensor:
        kept = torch.zeros_like(gradient)
        kept[-count:] = gradient[-count:]
        return kept

    return masked


def write(pipeline: Any, count: int, folder: Path) -> None:
    """The new words' rows, beside the adapter."""
    tables = {key: getattr(pipeline, c).get_input_embeddings().weight for c, key in _KEYS.items()}
    rows = {key: table[-count:].detach().half().contiguous() for key, table in tables.items()}
    save_file(rows, folder / FILE)


def read(pipeline: Any, count: int, folder: Path) -> None:
    """Teach a pipeline the words that were learned with an adapter."""
    rows = load_file(folder / FILE)
    tables = add(pipeline, count, like="style")
    with torch.no_grad():
        for table, key in zip(tables, _KEYS.values(), strict=True):
            table[-count:] = rows[key].to(table.dtype)
