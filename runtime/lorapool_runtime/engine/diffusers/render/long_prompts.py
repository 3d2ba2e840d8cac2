"""Prompts that CLIP cannot take in one piece: in chunks, each encoded by itself, side by side for the denoiser.

CLIP reads 77 tokens, two of which mark start and end. As the tools for Stable Diffusion do it, a longer prompt is cut
after each 75 tokens, each piece is encoded as a prompt of its own, and the embeddings follow each other; the one vector
for the whole prompt, where the base takes one, is that of the first piece.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

# What a denoiser attends to grows with them: at most 600 tokens, which is more than any tool makes.
MAX_CHUNKS: Final = 8
_SHOWN_CHARACTERS: Final = 160


@dataclass(frozen=True)
class Text:
    """One CLIP text encoder with its tokenizer."""

    tokenizer: Any
    encoder: Any

    @property
    def room(self) -> int:
        """Tokens of a prompt that one chunk holds."""
        return int(self.tokenizer.model_max_length) - 2

    def ids(self, text: str) -> list[int]:
        """The prompt's tokens, none cut off, without marks of start and end."""
        return list(self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)

    def chunks(self, text: str) -> int:
        """How many chunks the prompt takes; an empty one takes one too."""
        return max(1, -(-len(self.ids(text)) // self.room))

    def inputs(self, text: str, count: int) -> torch.Tensor:
        """(count, 77) token ids: each row as the tokenizer itself pads a prompt of its length."""
        ids, room, own = self.ids(text), self.room, self.tokenizer
        rows = [ids[i * room : (i + 1) * room] for i in range(count)]
        padded = [[own.bos_token_id, *row, own.eos_token_id, *[own.pad_token_id] * (room - len(row))] for row in rows]
        return torch.tensor(padded)


def texts_of(pipeline: Any) -> tuple[Text, ...]:
    """The CLIP text encoders that a prompt goes through, with their tokenizers of the moment."""
    pairs = (
        (getattr(pipeline, f"tokenizer{n}", None), getattr(pipeline, f"text_encoder{n}", None)) for n in ("", "_2")
    )
    return tuple(Text(tokenizer, encoder) for tokenizer, encoder in pairs if tokenizer is not None and encoder)


def chunks_of(pipeline: Any, texts: Sequence[str]) -> int:
    """How many chunks these prompts take side by side: those of the longest, `MAX_CHUNKS` at most."""
    counts = (part.chunks(words(pipeline, text, part)) for part in texts_of(pipeline) for text in texts)
    return min(MAX_CHUNKS, max(counts, default=1))


def cut_off(tokenizer: Any, text: str, room: int) -> str:
    """The end of the prompt that is beyond so many tokens; empty where all of it fits."""
    ids = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    rest = tokenizer.decode(ids[room:], skip_special_tokens=True).strip() if len(ids) > room else ""
    return rest if len(rest) <= _SHOWN_CHARACTERS else f"{rest[: _SHOWN_CHARACTERS - 1]}…"


def encode(pipeline: Any, text: str, count: int) -> Mapping[str, torch.Tensor]:
    """A prompt in so many chunks, as SD 1.x's and SDXL's own `encode_prompt` would encode each of them.

    Returns:
        `embeds` of (1, 77 count, width); and `pooled` of (1, width) where an encoder has a projection.
    """
    embeds: list[torch.Tensor] = []
    pooled: torch.Tensor | None = None
    parts = texts_of(pipeline)
    is_xl = getattr(pipeline, "text_encoder_2", None) is not None
    for part in parts:
        ids = part.inputs(words(pipeline, text, part), count).to(pipeline._execution_device)
        mask = (ids != part.tokenizer.pad_token_id).long() if _uses_mask(part.encoder) else None
        # One row at a time: so the first chunk is bit for bit what it is by itself.
        rows = [part.encoder(row[None], attention_mask=m, output_hidden_states=True) for row, m in _rows(ids, mask)]
        states = [row.hidden_states[-2] if is_xl else row[0] for row in rows]
        embeds.append(torch.cat(states, dim=1))
        if is_xl and rows[0][0].ndim == 2:
            pooled = rows[0][0]
    together = torch.cat(embeds, dim=-1)
    return {"embeds": together} | ({} if pooled is None else {"pooled": pooled})


def encode_each(pipeline: Any, texts: Sequence[str], count: int) -> list[Mapping[str, torch.Tensor]]:
    """Each of these prompts, in so many chunks."""
    return [encode(pipeline, text, count) for text in texts]


def _rows(ids: torch.Tensor, mask: torch.Tensor | None) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    return [(row, None if mask is None else mask[i : i + 1]) for i, row in enumerate(ids)]


def _uses_mask(encoder: Any) -> bool:
    return bool(getattr(encoder.config, "use_attention_mask", False))


def words(pipeline: Any, text: str, part: Text) -> str:
    """The text with words of several vectors, which some embeddings are, written out."""
    convert = getattr(pipeline, "maybe_convert_prompt", None)
    return convert(text, part.tokenizer) if convert else text
