"""Prompts with weights, for SD 1.x, SD 2.x and SDXL: as compel 2.5 encodes them (`CompelForSD`, `CompelForSDXL`).

A weight of a text moves its tokens away from those of the empty prompt, or towards them: `e + w (z - e)`. One below 1
also moves the whole embedding towards that of the prompt without the text, by `tan((1 - w) pi / 2)` parts. Long texts
are cut into chunks behind a sentence, else a phrase, else a word. Chunks beyond `MAX_CHUNKS`
are left out, which compel does not.

In A1111's syntax a weight multiplies its tokens' states, and each chunk is scaled back to the mean that it had without
weights. A chunk that is full ends behind a comma where one is near its end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch

from lorapool_api.kinds.serving import PromptSyntax
from lorapool_api.rules.prompt_syntax.parts import BlendedPhrases, Phrase, WeightedPrompt
from lorapool_api.rules.prompt_syntax.read import read_prompt
from lorapool_runtime.engine.diffusers.render.long_prompts import MAX_CHUNKS, Text, texts_of, words

_SENTENCES: Final = (".</w>",)
_PHRASES: Final = (".</w>", ",</w>", ";</w>", ":</w>")
_WORDS: Final = ("</w>",)
# The share of what a text of weight 0 leaves of itself: its tangent is finite.
_LEAST: Final = 1e-5
# How many tokens before the end of a chunk a comma may stand that ends it.
_NEAR: Final = 20
_MEAN: Final = 1e-4


def encode(pipeline: Any, texts: Sequence[str], syntax: PromptSyntax) -> list[Mapping[str, torch.Tensor]]:
    """These prompts, all in as many chunks as the longest takes.

    Returns:
        Of each, `embeds` of (1, 77 chunks, width); and `pooled` of (1, width) where an encoder has a projection. What
        is pooled is the text as it was written, as compel does it, in A1111's syntax the first chunk without weights.
    """
    encoders = _encoders(pipeline, syntax)
    prompts = [read_prompt(syntax, text) for text in texts]
    made = [[encoder.prompt(prompt) for encoder in encoders] for prompt in prompts]
    longest = max(each.shape[1] for row in made for each in row)
    embeds = [
        torch.cat([encoder.padded(each, longest) for encoder, each in zip(encoders, row, strict=True)], dim=-1)
        for row in made
    ]
    if encoders[-1].is_xl:
        pooled = [encoders[-1].pooled(text, prompt) for text, prompt in zip(texts, prompts, strict=True)]
    else:
        pooled = [None for _ in texts]
    rows = zip(embeds, pooled, strict=True)
    return [{"embeds": e} if p is None else {"embeds": e, "pooled": p} for e, p in rows]


def chunks(pipeline: Any, text: str, syntax: PromptSyntax) -> int:
    """How many chunks the prompt takes; `MAX_CHUNKS` of them are encoded."""
    prompt = read_prompt(syntax, text)
    return max(encoder.chunks(prompt) for encoder in _encoders(pipeline, syntax))


def _encoders(pipeline: Any, syntax: PromptSyntax) -> list["_WeightedEncoder"]:
    is_xl = getattr(pipeline, "text_encoder_2", None) is not None
    return [_WeightedEncoder(pipeline, text, syntax, is_xl=is_xl) for text in texts_of(pipeline)]


@dataclass(frozen=True)
class _Tokens:
    """Tokens of one phrase; `owners`: which of its texts each is of."""

    ids: list[int]
    owners: list[int]


class _WeightedEncoder:
    """One CLIP text encoder for one request."""

    def __init__(self, pipeline: Any, text: Text, syntax: PromptSyntax, *, is_xl: bool) -> None:
        self._is_a1111 = syntax is PromptSyntax.A1111
        self._pipeline = pipeline
        self._text = text
        self.is_xl = is_xl

    def prompt(self, prompt: WeightedPrompt) -> torch.Tensor:
        """(1, 77 chunks, width) of all its members, side by side."""
        made = []
        for member, weight in zip(prompt.members, prompt.weights, strict=True):
            one = self._blend(member) if isinstance(member, BlendedPhrases) else self._phrase(member)
            empty = self.padded(self._phrase(()), one.shape[1]) if weight != 1 else one
            made.append(one if weight == 1 else empty + (one - empty) * weight)
        return torch.cat(made, dim=1)[:, : MAX_CHUNKS * (self._text.room + 2)]

    def chunks(self, prompt: WeightedPrompt) -> int:
        counts = []
        for member in prompt.members:
            phrases = member.phrases if isinstance(member, BlendedPhrases) else (member,)
            counts.append(max(len(self._split(self._tokens(phrase))) for phrase in phrases))
        return sum(counts)

    def padded(self, made: torch.Tensor, length: int) -> torch.Tensor:
        """With the empty prompt behind it, as often as it takes."""
        count = (length - made.shape[1]) // (self._text.room + 2)
        return torch.cat([made, *[self._empty.to(made.dtype)] * count], dim=1)

    def pooled(self, text: str, prompt: WeightedPrompt) -> torch.Tensor | None:
        """(1, width) of the first chunk of a text as it is; None without a projection."""
        first = self._split(self._tokens(next(prompt.phrases)))[0].ids if self._is_a1111 else None
        rows = self._row(first or self._text.ids(words(self._pipeline, text, self._text))[: self._text.room])
        pooled = self._text.encoder(self._on_device([rows])).to_tuple()[0]
        return pooled if pooled.ndim == 2 else None

    def _blend(self, blend: BlendedPhrases) -> torch.Tensor:
        made = [self._phrase(phrase) for phrase in blend.phrases]
        longest = max(each.shape[1] for each in made)
        total = sum(blend.weights) if blend.normalized else 1.0
        return _mixed([self.padded(each, longest) for each in made], [weight / total for weight in blend.weights])

    def _phrase(self, phrase: Phrase) -> torch.Tensor:
        split = self._split(self._tokens(phrase))[:MAX_CHUNKS]
        ids = self._on_device([self._row(tokens.ids) for tokens in split])
        owners = torch.tensor([self._row(tokens.owners, -1) for tokens in split])
        weights = torch.tensor([*(text.weight for text in phrase), 1.0])[owners].to(ids.device)
        if self._is_a1111:
            return self._multiplied(ids, weights)
        made, shares = [self._states(ids, weights, torch.ones_like(ids))], [1.0]
        for i, text in enumerate(phrase):
            if text.weight < 1 and (owners == i).any():
                made.append(self._states(ids, weights, _without(owners, i).to(ids.device)))
                shares.append(math.tan((1.0 - max(_LEAST, text.weight)) * math.pi / 2))
        total = sum(shares)
        return made[0] if len(made) == 1 else _mixed(made, [share / total for share in shares])

    def _tokens(self, phrase: Phrase) -> _Tokens:
        each = [self._text.ids(words(self._pipeline, text.text, self._text)) for text in phrase]
        return _Tokens([t for ids in each for t in ids], [i for i, ids in enumerate(each) for _ in ids])

    def _split(self, tokens: _Tokens) -> list[_Tokens]:
        """In chunks that have room; at least one."""
        split, at = [], 0
        names = self._text.tokenizer.convert_ids_to_tokens(tokens.ids)
        while True:
            length = _up_to_comma if self._is_a1111 else _length
            end = at + length(names[at:], self._text.room)
            split.append(_Tokens(tokens.ids[at:end], tokens.owners[at:end]))
            at = end
            if at >= len(tokens.ids):
                return split

    def _states(self, ids: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(1, 77 chunks, width), each token moved by its weight."""
        rows = []
        for row, weight, seen in zip(ids, weights, mask, strict=True):
            state = self._encoded(row[None], seen[None])
            if not bool((weight == 1).all()):
                moved = self._empty + (state - self._empty) * weight[None, :, None]
                # What has no weight stays as it is, to the bit.
                state = torch.where(weight[None, :, None] == 1, state.to(moved.dtype), moved).to(state.dtype)
            rows.append(state)
        return torch.cat(rows, dim=1)

    def _multiplied(self, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(1, 77 chunks, width), each token's state times its weight, each chunk with the mean that it had."""
        rows = []
        for row, weight in zip(ids, weights, strict=True):
            state = self._encoded(row[None], None)
            if not bool((weight == 1).all()):
                moved = state.float() * weight[None, :, None]
                before, after = state.float().mean(), moved.mean()
                # Of what has no mean the quotient would be that of two errors of rounding.
                has_mean = bool(after.abs() > _MEAN * moved.abs().mean())
                state = (moved * (before / after) if has_mean else moved).to(state.dtype)
            rows.append(state)
        return torch.cat(rows, dim=1)

    @cached_property
    def _empty(self) -> torch.Tensor:
        return self._encoded(self._on_device([self._row([])]), None)

    def _encoded(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        made = self._text.encoder(ids, attention_mask=mask, output_hidden_states=True)
        state: torch.Tensor = made.hidden_states[-2] if self.is_xl else made[0]
        return state

    def _row(self, values: list[int], around: int | None = None) -> list[int]:
        """77 values: those of a chunk with what marks its start, its end and what is behind it."""
        own = self._text.tokenizer
        start, end, pad = (own.bos_token_id, own.eos_token_id, own.pad_token_id) if around is None else (around,) * 3
        return [start, *values, end, *[pad] * (self._text.room - len(values))]

    def _on_device(self, rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor(rows).to(self._pipeline._execution_device)


def _length(names: Sequence[str], room: int) -> int:
    """How many of the tokens make the next chunk."""
    if len(names) <= room:
        return room
    for ends in (_SENTENCES, _PHRASES):
        found = [i for i, name in enumerate(names[:room]) if name in ends]
        if found:
            return found[-1] + 1
    found = [i for i, name in enumerate(names[:room]) if name.endswith(_WORDS)]
    return found[-1] + 1 if found else room


def _up_to_comma(names: Sequence[str], room: int) -> int:
    """The same by A1111's rule, where the next token finds no room."""
    if len(names) <= room:
        return room
    commas = [i for i, name in enumerate(names[:room]) if name == ",</w>"]
    is_near = bool(commas) and names[room] != ",</w>" and room - commas[-1] <= _NEAR
    return commas[-1] + 1 if is_near else room


def _without(owners: torch.Tensor, text: int) -> torch.Tensor:
    """Which tokens are seen where one text is not: all from its first to its last are hidden, but marks of a chunk."""
    flat = (owners == text).flatten().nonzero()
    mask = torch.ones(owners.numel(), dtype=torch.long)
    mask[int(flat[0]) : int(flat[-1]) + 1] = 0
    mask = mask.reshape(owners.shape)
    mask[:, 0] = mask[:, -1] = 1
    return mask


def _mixed(made: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    """Their sum by shares, in float32."""
    total = torch.stack([each.float() * share for each, share in zip(made, shares, strict=True)]).sum(dim=0)
    return total.to(made[0].dtype)
