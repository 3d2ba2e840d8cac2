"""The syntax of prompts in A1111's WebUI: `(words)` and `[words]`, `(words:1.3)`, `BREAK`.

Parentheses weigh by 1.1, brackets by its inverse, nested ones multiply; those that nothing closes weigh up to the end
of the prompt, and a closing one alone is text. `BREAK` begins another chunk. A backslash makes the next sign text.
"""

import re
from typing import Final

from lorapool_api.rules.prompt_syntax.parts import Phrase, PromptSyntaxError, WeightedPrompt, WeightedText, checked

MAX_DEPTH: Final = 24
_STEP: Final = 1.1
_SIGNS: Final = re.compile(
    r"\\(?P<escaped>[()\[\]\\])?|(?P<open>[(\[])|:\s*(?P<weight>[+-]?[0-9.]+)\s*\)|(?P<close>[)\]])|(?P<text>[^\\()\[\]:]+|:)"
)
_BREAK: Final = re.compile(r"\s*\bBREAK\b\s*")


def read_a1111(prompt: str) -> WeightedPrompt:
    """What the prompt says: a member for each piece between `BREAK`s. Raises: PromptSyntaxError."""
    reader = _Pieces()
    for found in _SIGNS.finditer(prompt):
        reader.read(found)
    members = reader.phrases()
    return checked(WeightedPrompt(members, (1.0,) * len(members)), most_weakened=None)


class _Pieces:
    """Pieces of text in their order, and where what is still open began; None stands for a `BREAK`."""

    def __init__(self) -> None:
        self._texts: list[str | None] = []
        self._weights: list[float] = []
        self._open: dict[str, list[int]] = {"(": [], "[": []}

    def read(self, found: re.Match[str]) -> None:
        """The next sign. Raises: PromptSyntaxError."""
        sign = found[0]
        if found["open"]:
            self._open[sign].append(len(self._texts))
            if sum(map(len, self._open.values())) > MAX_DEPTH:
                raise PromptSyntaxError(f"parentheses and brackets of a prompt are nested more than {MAX_DEPTH} deep")
        elif found["weight"] is not None and self._open["("] and _is_number(found["weight"]):
            self._weigh(self._open["("].pop(), float(found["weight"]))
        elif found["close"] and self._open[opening := "(" if sign == ")" else "["]:
            self._weigh(self._open[opening].pop(), _of(opening))
        elif sign.startswith("\\"):
            self._add(found["escaped"] or sign)
        else:
            for number, part in enumerate(_BREAK.split(sign)):
                if number:
                    self._add(None)
                self._add(part)

    def phrases(self) -> tuple[Phrase, ...]:
        for opening, begins in self._open.items():
            for begin in begins:
                self._weigh(begin, _of(opening))
        made: list[list[WeightedText]] = [[]]
        for text, weight in zip(self._texts, self._weights, strict=True):
            last = made[-1]
            if text is None:
                made.append([])
            elif last and last[-1].weight == weight:
                last[-1] = WeightedText(last[-1].text + text, weight)
            elif text:
                last.append(WeightedText(text, weight))
        return tuple(tuple(phrase) for phrase in made)

    def _add(self, text: str | None) -> None:
        self._texts.append(text)
        self._weights.append(1.0)

    def _weigh(self, begin: int, weight: float) -> None:
        for i in range(begin, len(self._weights)):
            self._weights[i] *= weight


def _of(opening: str) -> float:
    return _STEP if opening == "(" else 1 / _STEP


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)", text) is not None
