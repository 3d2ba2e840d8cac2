"""The syntax of prompts with weights is read as compel's own parser reads it."""

from typing import Any

from compel.prompt_parser import Blend, PromptParser
from hypothesis import given, settings
from hypothesis import strategies as st

from lorapool_api.rules.prompt_syntax.compel import read_compel
from lorapool_api.rules.prompt_syntax.parts import BlendedPhrases, PromptSyntaxError, WeightedPrompt

PIECES = (
    *(
        "a",
        "red",
        "well-done",
        "2",
        "-1",
        "0.5",
        "1.3",
        " ",
        " ",
        ",",
        ".",
        "=",
        "+",
        "-",
        "++",
        "(",
        ")",
        "(",
        ")",
        '"',
        '"',
    ),
    *(".blend(", ".and(", ".attend(", "no_normalize", "\\(", "\\)", '\\"'),
    *("(a b)1.2", '"x y"++', '("a b", "c")', "(a, b)", "(a (b)0.4 c)1.1"),
)
PARSER = PromptParser()


def theirs(text: str) -> Any:
    """None: compel refuses it."""
    try:
        found = PARSER.parse_conjunction(text)
    except Exception:  # noqa: BLE001 its errors have no common base
        return None
    members = [
        ([_texts(phrase) for phrase in member.prompts], list(member.weights), member.normalize_weights)
        if isinstance(member, Blend)
        else _texts(member)
        for member in found.prompts
    ]
    return (members, list(found.weights)) if members else ([[("", 1.0)]], [1.0])


def _texts(phrase: Any) -> list[tuple[str, float]]:
    return [(fragment.text, fragment.weight) for fragment in phrase.children]


def mine(text: str) -> Any:
    try:
        found = read_compel(text)
    except PromptSyntaxError:
        return None
    return _members(found), list(found.weights)


def _members(found: WeightedPrompt) -> list[Any]:
    return [
        ([_pairs(phrase) for phrase in member.phrases], list(member.weights), member.normalized)
        if isinstance(member, BlendedPhrases)
        else _pairs(member)
        for member in found.members
    ]


def _pairs(phrase: Any) -> list[tuple[str, float]]:
    return [(part.text, part.weight) for part in phrase]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_prompt_is_read_as_by_compel(text: str) -> None:
    own = mine(text)
    if own is not None:
        assert own == theirs(text)
    else:
        refused = theirs(text)
        assert refused is None or beyond_bounds(text)


def beyond_bounds(text: str) -> bool:
    """What compel takes: text behind `and()`, which it drops, and blends whose weights add up to nothing."""
    return ".and(" in text or ".blend(" in text
