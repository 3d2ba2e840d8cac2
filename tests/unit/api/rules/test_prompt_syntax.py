"""Prompts with weights: what each form says, and what is beyond the bounds."""

import contextlib

import pytest

from lorapool_api.rules.prompt_syntax.a1111 import read_a1111
from lorapool_api.rules.prompt_syntax.compel import read_compel
from lorapool_api.rules.prompt_syntax.parts import BlendedPhrases, Phrase, PromptSyntaxError, WeightedText


def texts(prompt: str) -> list[tuple[str, float]]:
    (member,) = read_compel(prompt).members
    assert not isinstance(member, BlendedPhrases)
    return [(part.text, part.weight) for part in member]


def phrase(text: str) -> Phrase:
    return (WeightedText(text),)


def test_words_and_groups_have_weights_that_multiply() -> None:
    assert texts("a red++ (big (old)0.5 house)1.2, far") == [
        ("a", 1.0),
        ("red", 1.1**2),
        ("big", 1.2),
        ("old", 1.2 * 0.5),
        ("house", 1.2),
        (", far", 1.0),
    ]


def test_what_has_no_meaning_is_text() -> None:
    assert texts("a (red and \\(blue\\) :( well-done") == [("a (red and (blue) :( well-done", 1.0)]


def test_prompts_are_blended_and_joined() -> None:
    (blend,) = read_compel('("a b", "c").blend(0.7, -0.3, no_normalize)').members
    assert blend == BlendedPhrases((phrase("a b"), phrase("c")), (0.7, -0.3), normalized=False)
    joined = read_compel('("a b", "c").and(1, 0.5)')
    assert (joined.members, joined.weights) == ((phrase("a b"), phrase("c")), (1.0, 0.5))


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("a (cat)11", "weight 11"),
        (f"a cat{'+' * 9000}", "9000 signs"),
        ("(a)1.3" + "(" * 17 + "b" + ")" * 17, "16 deep"),
        ("(" * 10_000, "16 deep"),
        ("(" + ", ".join(["a"] * 9) + ").and()", "joins 9"),
        ("(" + ", ".join(["a"] * 9) + ").blend()", "joins 9"),
        (" ".join(f"a b{i}-" for i in range(17)), "17 parts"),
        ("(a, b).blend(1, -1)", "add up to nothing"),
        ("(a, b).blend(1, 1, 1)", "3 weights"),
        ("(a, b).and(nan, inf)", "no weight"),
        ("(a, b).and() and more", "behind and"),
        ("(a, b).blend(1, 1) and more", "behind blend"),
        ("a cat.swap(dog)", "swap"),
        ("a cat withLora(pixel, 0.8)", "withLora"),
    ],
)
def test_what_is_beyond_the_bounds_is_refused_with_its_reason(prompt: str, why: str) -> None:
    with pytest.raises(PromptSyntaxError, match=why):
        read_compel(prompt)


@pytest.mark.parametrize("piece", ['"a', '"a"', "(a", "a)", "((a)", '("a"', "a+", "a.", "\\", "\\(", "(a)1.1 ", "+-"])
def test_any_long_prompt_is_read_in_a_time_that_grows_with_its_length(piece: str) -> None:
    """The parser that is the model takes forever for some of these; a test has two minutes."""
    with contextlib.suppress(PromptSyntaxError):
        assert read_compel(piece * (10_000 // len(piece))).members


@pytest.mark.parametrize(
    ("prompt", "members"),
    [
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                [
                    ("a ", 1.0),
                    ("house", 1.573),
                    (" ", 1.1),
                    ("on", 1.0),
                    (" a ", 1.1),
                    ("hill", 0.55),
                    (", sun, ", 1.1),
                    ("sky", 1.4641),
                    (".", 1.1),
                ]
            ],
        ),
        (r"(literal\)", [[("literal)", 1.1)]]),
        ("(one)(two) and [three", [[("onetwo", 1.1), (" and ", 1.0), ("three", 1 / 1.1)]]),
        ("alone) :3:4)", [[("alone) :3:4)", 1.0)]]),
        ("a BREAK b (c BREAK d:1.2)", [[("a", 1.0)], [("b ", 1.0), ("c", 1.2)], [("d", 1.2)]]),
        ("", [[]]),
    ],
)
def test_the_webuis_syntax_is_read_as_it_documents_it(prompt: str, members: list[list[tuple[str, float]]]) -> None:
    found = [[(part.text, round(part.weight, 6)) for part in member] for member in read_a1111(prompt).phrases]
    assert found == [[(text, round(weight, 6)) for text, weight in member] for member in members]


@pytest.mark.parametrize(
    ("prompt", "why"),
    [("(" * 9000, "24 deep"), ("(a:99)", "weight 99"), ("((a:9.5))", "weight 10.45"), ("BREAK " * 9, "joins 10")],
)
def test_what_is_beyond_the_bounds_of_the_webuis_syntax_is_refused(prompt: str, why: str) -> None:
    with pytest.raises(PromptSyntaxError, match=why):
        read_a1111(prompt)


@pytest.mark.parametrize("piece", ["(a", "[a]", "(a:1.1)", ":1", "\\", "a) ", "(((a:0.9)))", ": 1.1 ", "BREAK", ":  "])
def test_the_webuis_syntax_takes_a_time_that_grows_with_the_length(piece: str) -> None:
    with contextlib.suppress(PromptSyntaxError):
        assert read_a1111(piece * (10_000 // len(piece))).members
