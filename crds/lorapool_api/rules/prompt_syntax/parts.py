"""What a prompt with weights says: texts with weights, blended or side by side, within bounds."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# Beyond some 1.6 pictures fall apart; a weight that is far more is a mistake or an attack.
MAX_WEIGHT: Final = 10.0
MAX_MEMBERS: Final = 8
# Each of them is one more pass of the text encoders.
MAX_WEAKENED: Final = 16


class PromptSyntaxError(ValueError):
    """A prompt that cannot be read or is beyond the bounds; the message says why."""


@dataclass(frozen=True)
class WeightedText:
    """Words that have one weight; 1: as they are."""

    text: str
    weight: float = 1.0


# Texts that are encoded together, in their order.
Phrase = tuple[WeightedText, ...]


@dataclass(frozen=True)
class BlendedPhrases:
    """Phrases whose embeddings are added up by weights.

    Attributes:
        normalized: whether the weights are divided by their sum.
    """

    phrases: tuple[Phrase, ...]
    weights: tuple[float, ...]
    normalized: bool = True


@dataclass(frozen=True)
class WeightedPrompt:
    """Members whose embeddings follow each other, each with its weight: one member where the prompt names no others."""

    members: tuple[Phrase | BlendedPhrases, ...]
    weights: tuple[float, ...]

    @property
    def phrases(self) -> Iterator[Phrase]:
        """All phrases of all members."""
        for member in self.members:
            yield from member.phrases if isinstance(member, BlendedPhrases) else (member,)


@dataclass(frozen=True)
class Attended:
    """Nodes of a tree whose weights are multiplied by one more."""

    weight: float
    nodes: tuple["Node", ...]


Node = str | Attended


def phrase_of(nodes: Iterable[Node]) -> Phrase:
    """The tree as texts with weights; neighbours of the same weight are one text, joined by a space."""
    fused: list[WeightedText] = []
    for text, weight in _flat(nodes, 1.0):
        if fused and fused[-1].weight == weight:
            fused[-1] = WeightedText(f"{fused[-1].text} {text}", weight)
        else:
            fused.append(WeightedText(text, weight))
    return tuple(fused)


def _flat(nodes: Iterable[Node], weight: float) -> Iterator[tuple[str, float]]:
    for node in nodes:
        if isinstance(node, Attended):
            yield from _flat(node.nodes, weight * node.weight)
        else:
            yield node, weight


def checked(prompt: WeightedPrompt, most_weakened: int | None = MAX_WEAKENED) -> WeightedPrompt:
    """The prompt, which is within the bounds.

    Args:
        most_weakened: texts with weights below 1; None: they cost nothing.

    Raises:
        PromptSyntaxError
    """
    blends = [member for member in prompt.members if isinstance(member, BlendedPhrases)]
    for counted in (prompt.members, *(blend.phrases for blend in blends)):
        if len(counted) > MAX_MEMBERS:
            raise PromptSyntaxError(f"the prompt joins {len(counted)} others; at most {MAX_MEMBERS}")
    texts = [text for phrase in prompt.phrases for text in phrase]
    _check_weights([text.weight for text in texts])
    _check_weights(prompt.weights)
    for blend in blends:
        _check_weights(blend.weights)
        if blend.normalized and abs(math.fsum(blend.weights)) < 1e-3:
            raise PromptSyntaxError("the weights of a blend add up to nothing: change one, or add no_normalize")
    weakened = sum(text.weight < 1 for text in texts)
    if most_weakened is not None and weakened > most_weakened:
        raise PromptSyntaxError(f"the prompt has {weakened} parts with weights below 1; at most {most_weakened}")
    return prompt


def _check_weights(weights: Sequence[float]) -> None:
    for weight in weights:
        if not abs(weight) <= MAX_WEIGHT:
            raise PromptSyntaxError(f"weight {weight:g} of a prompt is not between -{MAX_WEIGHT:g} and {MAX_WEIGHT:g}")
