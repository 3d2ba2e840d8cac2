"""The rules of compel's syntax, over one text: where each ends, and what it means: pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lorapool_api.rules.prompt_syntax.parts import MAX_WEIGHT, Attended, Node, PromptSyntaxError

MAX_DEPTH: Final = 16
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)|-?[0-9]+")
_PLUS: Final = 1.1
_MINUS: Final = 0.9
_SPACE: Final = (" ", "\t", "\r", "\n")
_SYNTAX: Final = r'()",.+\-='
_WORD: Final = re.compile(rf"(?:\\[{_SYNTAX}]|[-+](?![\s{_SYNTAX}]|\Z)|[^\s{_SYNTAX}])+", re.ASCII)
_FREE_WORD: Final = re.compile(r"\S+", re.ASCII)
_QUOTED: Final = re.compile(r'"((?:\\"|[^"\r\n])*)"')
_OPTION: Final = re.compile(r"[0-9A-Za-z_-]+")
_SIGNS: Final = re.compile(r"\++|-+")
_LORA: Final = re.compile(r"(?:useLora|withLora)\s*\(")

Nodes = tuple[Node, ...]
Match = tuple[int, Nodes]


@dataclass(frozen=True)
class Joined:
    """`(members).operator(options)`, and where it ends."""

    end: int
    members: tuple[Nodes, ...]
    options: tuple[str, ...]


class Reader:
    """Rules over one text: each takes a place, and answers where it ends and what it means, or None."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kept: dict[tuple[str, int], Match | None] = {}
        self._depth = 0

    # ---- rules -------------------------------------------------------------------------------------------------

    def words(self, at: int) -> Match:
        """A prompt by itself: what has no meaning is a word up to the next space."""
        nodes: list[Node] = []
        while True:
            found = self._attention(at) or self._kept_answer(self._quoted, at) or self._parenthesized(at)
            if found is None and (free := _FREE_WORD.match(self._text, at)):
                found = free.end(), (_plain(free[0]),)
            if found is not None:
                nodes += found[1]
                at = found[0]
            elif (after := self.skip(at)) > at:
                at = after
            else:
                return at, tuple(nodes)

    def _fragments(self, at: int) -> Match:
        """What may stand in parentheses or quotation marks."""
        nodes: list[Node] = []
        while True:
            found = self._attention(at) or self._parenthesized(at) or self._kept_answer(self._quoted, at)
            found = found or self._word(at) or self._mark(at)
            if found is None:
                return at, tuple(nodes)
            nodes += found[1]
            at = found[0]

    def _attention(self, at: int) -> Match | None:
        return self._kept_answer(self._find_attention, at)

    def _find_attention(self, at: int) -> Match | None:
        """A target with a weight. Raises: PromptSyntaxError for what compel can and this cannot."""
        if _LORA.match(self._text, self.skip(at)):
            raise PromptSyntaxError("withLora() in a prompt is not served: name the adapter in the request")
        group = self._kept_answer(self._quoted, at) or self._parenthesized(at)
        target = group or self._word(at)
        if target is None:
            return None
        called = self._called(target)
        if called is not None:
            return called
        after = target[0]
        if self._text[after : after + 1] in (*_SPACE, ""):
            return None
        signs = _SIGNS.match(self._text, after)
        if signs:
            return signs.end(), (Attended(_power(signs[0]), target[1]),)
        number = NUMBER.match(self._text, after) if group else None
        return (number.end(), (Attended(float(number[0]), target[1]),)) if number else None

    def _called(self, target: Match) -> Match | None:
        """`target.attend(1.3)`."""
        if self._literals(target[0], ".swap", "(") is not None:
            raise PromptSyntaxError("swap() in a prompt is not served")
        at = self._literals(target[0], ".attend", "(")
        if at is None:
            return None
        at = self.skip(at)
        signs, number = _SIGNS.match(self._text, at), NUMBER.match(self._text, at)
        weight = signs or number
        end = self._literal(weight.end(), ")") if weight else None
        if weight is None or end is None:
            return None
        return end, (Attended(_power(weight[0]) if signs else float(weight[0]), target[1]),)

    def _parenthesized(self, at: int) -> Match | None:
        return self._kept_answer(self._find_parenthesized, at)

    def _find_parenthesized(self, at: int) -> Match | None:
        inside = self._literal(at, "(")
        if inside is None:
            return None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PromptSyntaxError(f"parentheses of a prompt are nested more than {MAX_DEPTH} deep")
        end, nodes = self._fragments(inside)
        self._depth -= 1
        closed = self._literal(end, ")")
        return None if closed is None else (closed, nodes)

    def _quoted(self, at: int) -> Match | None:
        return self._in_quotes(at, Reader._fragments)

    def _in_quotes(self, at: int, rule: "Callable[[Reader, int], Match]") -> Match | None:
        """Quotation marks whose content is all of what the rule takes."""
        found = _QUOTED.match(self._text, self.skip(at))
        if found is None:
            return None
        inside = found[1]
        if not inside.strip():
            return found.end(), ("",)
        reader = Reader(inside)
        reader._depth = self._depth
        end, nodes = rule(reader, 0)
        return (found.end(), nodes) if reader.skip(end) == len(inside) else None

    def _word(self, at: int) -> Match | None:
        found = _WORD.match(self._text, self.skip(at))
        return (found.end(), (_plain(found[0]),)) if found else None

    def _mark(self, at: int) -> Match | None:
        at = self.skip(at)
        mark = self._text[at : at + 1]
        return (at + 1, (mark,)) if mark in (",", ".") else None

    def joined(self, at: int, operators: tuple[str, ...]) -> Joined | None:
        """`(target, target).operator(option, option)`."""
        after = self._literal(at, "(")
        members: list[Nodes] = []
        while after is not None:
            member = self._member(after)
            if member is None:
                return None
            members.append(member[1])
            at, after = member[0], self._literal(member[0], ",")
        inside = self._literals(at, ")", operators, "(") if members else None
        if inside is None:
            return None
        at, options = self._options(inside)
        closed = self._literal(at, ")")
        return None if closed is None else Joined(closed, tuple(members), options)

    def _member(self, at: int) -> Match | None:
        found = self._kept_answer(self._quoted, at) or self._parenthesized(at) or self._word(at)
        return found or self._in_quotes(at, Reader.words)

    def _options(self, at: int) -> tuple[int, tuple[str, ...]]:
        options: list[str] = []
        after: int | None = at
        while after is not None:
            found = NUMBER.match(self._text, self.skip(after)) or _OPTION.match(self._text, self.skip(after))
            if found is None:
                break
            options.append(found[0])
            at = found.end()
            after = self._literal(at, ",")
        return at, tuple(options)

    # ---- places ------------------------------------------------------------------------------------------------

    def _kept_answer(self, rule: Callable[[int], Match | None], at: int) -> Match | None:
        key = (rule.__name__, at)
        if key not in self._kept:
            self._kept[key] = rule(at)
        return self._kept[key]

    def skip(self, at: int) -> int:
        while self._text[at : at + 1] in _SPACE:
            at += 1
        return at

    def _literal(self, at: int, *any_of: str) -> int | None:
        at = self.skip(at)
        return next((at + len(literal) for literal in any_of if self._text.startswith(literal, at)), None)

    def _literals(self, at: int, *each: str | tuple[str, ...]) -> int | None:
        place: int | None = at
        for literal in each:
            if place is not None:
                place = self._literal(place, *((literal,) if isinstance(literal, str) else literal))
        return place


def _plain(text: str) -> str:
    return text.replace("\\(", "(").replace("\\)", ")").replace('\\"', '"')


def _power(signs: str) -> float:
    """Raises: PromptSyntaxError where there are more signs than any weight needs."""
    if len(signs) > 100:
        raise PromptSyntaxError(f"{len(signs)} signs make a weight that is not between 0 and {MAX_WEIGHT:g}")
    return float((_PLUS if signs[0] == "+" else _MINUS) ** len(signs))
