"""Tokens that come with an adapter: rows behind the text encoders' tables, and tokenizers that split them off."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

import torch
from cachetools import LRUCache
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

TOKENIZERS: Final = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
# A tokenizer of CLIP takes some 10 MB, and adapters may bring up to 256 tokens: another one for each number of them.
MAX_KEPT: Final = 8


class ExtraRows(NamedTuple):
    """Rows for the token ids from `first` on."""

    first: int
    rows: torch.Tensor


class AdaptedEmbedding(nn.Embedding):
    """A table whose base is never written; an embedding of the base becomes one by a change of its class."""

    extra: ExtraRows | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.extra is None:
            return super().forward(input)
        first, rows = self.extra
        known = super().forward(input.clamp(max=first - 1))
        new = functional.embedding((input - first).clamp(min=0), rows)
        return torch.where((input >= first).unsqueeze(-1), new, known)


class _Text(NamedTuple):
    """A text encoder's table, and the name of its tokenizer in the pipeline with the base's own one."""

    table: AdaptedEmbedding
    name: str
    tokenizer: Any


class TokenEmbeddings:
    """The tables and tokenizers of a pipeline's CLIP text encoders. Only the engine's thread uses it."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._texts: dict[str, _Text] = {}
        for component, name in TOKENIZERS.items():
            encoder, tokenizer = getattr(pipeline, component, None), getattr(pipeline, name, None)
            table: Any = encoder.get_input_embeddings() if isinstance(encoder, PreTrainedModel) else None
            if type(table) is nn.Embedding and tokenizer is not None:
                table.__class__ = AdaptedEmbedding
                self._texts[component] = _Text(cast(AdaptedEmbedding, table), name, tokenizer)
        self._extended: LRUCache[tuple[str, tuple[str, ...]], Any] = LRUCache(MAX_KEPT)

    @property
    def widths(self) -> dict[str, int]:
        """The width of each table that takes new tokens."""
        return {component: text.table.embedding_dim for component, text in self._texts.items()}

    @contextmanager
    def with_tokens(self, tokens: tuple[str, ...], rows: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """For as long as it lasts, prompts may hold these tokens. `rows`: component -> one row for each token."""
        texts = [(self._texts[component], table) for component, table in rows.items()]
        try:
            for text, table in texts:
                text.table.__dict__["extra"] = ExtraRows(len(text.tokenizer), table)
                setattr(self._pipeline, text.name, self._tokenizer(text, tokens))
            yield
        finally:
            for text, _ in texts:
                text.table.__dict__["extra"] = None
                setattr(self._pipeline, text.name, text.tokenizer)

    def _tokenizer(self, text: _Text, tokens: tuple[str, ...]) -> Any:
        """The base's tokenizer with these tokens at its end; kept: all adapters of as many call them alike."""
        key = (text.name, tokens)
        if key not in self._extended:
            extended = copy.deepcopy(text.tokenizer)
            extended.add_tokens(list(tokens))
            self._extended[key] = extended
        return self._extended[key]
