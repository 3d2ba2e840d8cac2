"""The words that the model reads, and a CLIP tokenizer for them: one token for a known word, letters for the rest."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

from transformers import CLIPTokenizer

from lorapool_models.pictures.outlines import OUTLINES
from lorapool_models.pictures.palette import COLOURS

Pair: TypeAlias = tuple[str, str]
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LETTERS: Final = string.ascii_lowercase + string.digits + string.punctuation
_STYLE_WORDS: Final = (
    "pixel", "mosaic", "outline", "cartoon", "night", "glow", "neon", "stripes", "striped", "watercolour", "paint",
    "polka", "dots", "sunset", "frame", "framed", "style", "picture", "of", "in", "with", "the", "and",
)  # fmt: skip
WORDS: Final = ("a", "an", "on", "background", *COLOURS, *OUTLINES, *_STYLE_WORDS)
MAX_TOKENS: Final = 77


def tokenizer(folder: Path) -> Any:
    """Write the vocabulary to the folder, in CLIP's own layout, and load it."""
    merges = learn_merges(WORDS)
    singles = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)]
    tokens = [*dict.fromkeys([*singles, *("".join(pair) for pair in merges)]), _START, _END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    return CLIPTokenizer.from_pretrained(
        folder, model_max_length=MAX_TOKENS, bos_token=_START, eos_token=_END, pad_token=_END, unk_token=_END
    )


def learn_merges(words: Iterable[str]) -> list[Pair]:
    """Byte-pair encoding until every word is one token: again and again the pair that occurs most often."""
    spelled = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges: list[Pair] = []
    while counts := Counter(pair for parts in spelled for pair in pairwise(parts)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        spelled = [_merged(parts, best) for parts in spelled]
    return merges


def _merged(parts: list[str], pair: Pair) -> list[str]:
    result: list[str] = []
    for part in parts:
        if result and (result[-1], part) == pair:
            result[-1] += part
        else:
            result.append(part)
    return result
