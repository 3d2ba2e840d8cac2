"""Compel's syntax of prompts: `word++`, `(some words)1.3`, `("a", "b").blend(0.7, 0.3)`, `("a", "b").and()`.

It is read as compel 2.5 reads it: at each place the first rule that fits counts, and what fits none is plain text.
Each answer of a rule is kept, so the time grows with the length of the prompt, and not, as there, with a power of how
deep it is nested. Where compel drops a part of the prompt in silence, here it is an error.
"""

import re

from lorapool_api.rules.prompt_syntax.parts import (
    BlendedPhrases,
    PromptSyntaxError,
    WeightedPrompt,
    checked,
    phrase_of,
)
from lorapool_api.rules.prompt_syntax.reader import NUMBER, Joined, Reader


def read_compel(prompt: str) -> WeightedPrompt:
    """What the prompt says. Raises: PromptSyntaxError."""
    text = re.sub(r",(\S)", r", \1", prompt.replace("\v", " ").replace("\f", " "))
    return checked(_read(text)) if text.strip() else _single("")


def _read(text: str) -> WeightedPrompt:
    reader = Reader(text)
    joined = reader.joined(0, (".and", ".add"))
    if joined is not None:
        _must_end(text, reader.skip(joined.end), "and()")
        return _conjunction(joined)
    joined = reader.joined(0, (".blend",))
    if joined is not None:
        _must_end(text, reader.skip(joined.end), "blend()")
        return WeightedPrompt((_blend(joined),), (1.0,))
    _, nodes = reader.words(0)
    return WeightedPrompt((phrase_of(nodes),), (1.0,)) if nodes else _single("")


def _must_end(text: str, end: int, what: str) -> None:
    if end < len(text):
        raise PromptSyntaxError(f"nothing may stand behind {what} in a prompt: {text[end : end + 40]!r}")


def _single(text: str) -> WeightedPrompt:
    return WeightedPrompt((phrase_of([text]),), (1.0,))


def _conjunction(joined: Joined) -> WeightedPrompt:
    """Raises: PromptSyntaxError."""
    phrases = [phrase_of(nodes) for nodes in joined.members]
    weights = _weights(joined.options, len(phrases))
    said = [(phrase, weight) for phrase, weight in zip(phrases, weights, strict=True) if phrase]
    if not said:
        return _single("")
    return WeightedPrompt(tuple(phrase for phrase, _ in said), tuple(weight for _, weight in said))


def _weights(options: tuple[str, ...], count: int) -> tuple[float, ...]:
    """One weight for each member; 1 where none is said. Raises: PromptSyntaxError."""
    if not options:
        return (1.0,) * count
    if len(options) != count:
        raise PromptSyntaxError(f"{len(options)} weights are named for {count} prompts: name one for each, or none")
    for option in options:
        if not NUMBER.fullmatch(option):
            raise PromptSyntaxError(f"{option!r} is no weight of a prompt")
    return tuple(float(option) for option in options)


def _blend(joined: Joined) -> BlendedPhrases:
    """Raises: PromptSyntaxError."""
    *first, last = (*joined.options, "") if not joined.options else joined.options
    normalized = last != "no_normalize"
    weights = _weights(joined.options if normalized else tuple(first), len(joined.members))
    phrases = tuple(phrase_of(nodes) for nodes in joined.members)
    if not all(phrases):
        raise PromptSyntaxError('a blend has a prompt that is empty: write it as ""')
    return BlendedPhrases(phrases, weights, normalized)
