"""What a picture says of itself: who decides it, and the text that says it."""

import json
import re

import pytest

from lorapool_api.kinds.images.provenance import ContentCredentials, Provenance, RecipeText
from lorapool_api.kinds.serving import PromptSyntax, SchedulerName
from lorapool_api.rules.recipes.asked import NotAllowedHere, signs, writes_recipe
from lorapool_api.rules.recipes.infotext import SAMPLERS, PictureRecipe, RecipeAdapter, infotext

SHA = "0123456789abcdef" * 4


def recipe(**more: object) -> PictureRecipe:
    said = {
        "prompt": "a cat",
        "negative_prompt": "",
        "seed": 5,
        "width": 64,
        "height": 32,
        "base": "o/b",
        "revision": "",
    }
    return PictureRecipe(**said | more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pool", "asked", "written"),
    [
        (None, None, False),
        (None, True, True),
        (RecipeText.ALLOW, False, False),
        (RecipeText.WRITE, None, True),
        (RecipeText.WRITE, False, False),
        (RecipeText.REFUSE, None, False),
        (RecipeText.REFUSE, False, False),
    ],
)
def test_a_recipe_is_written_where_pool_and_request_agree(
    pool: RecipeText | None, asked: bool | None, written: bool
) -> None:
    assert writes_recipe(Provenance(recipe=pool) if pool else None, asked) is written


def test_a_pool_that_writes_none_refuses_who_asks_for_one() -> None:
    with pytest.raises(NotAllowedHere, match="writes no recipes") as refused:
        writes_recipe(Provenance(recipe=RecipeText.REFUSE), asked=True)
    assert refused.value.field == "metadata"


def test_a_pool_that_signs_all_lets_nobody_out_of_it() -> None:
    pool = Provenance(content_credentials=ContentCredentials.SIGN)
    assert signs(pool, None)
    assert not signs(None, None)
    assert signs(None, asked=True)
    with pytest.raises(NotAllowedHere, match="signs every picture") as refused:
        signs(pool, asked=False)
    assert refused.value.field == "content_credentials"


def test_the_text_is_that_of_the_webui() -> None:
    made = infotext(
        recipe(
            negative_prompt="a dog",
            revision="9c3e1",
            steps=7,
            sampler=SAMPLERS[SchedulerName.EULER_A],
            guidance_scale=4.5,
            adapters=[RecipeAdapter("ns/ink", SHA, 0.8), RecipeAdapter("nerijs/px", SHA[::-1], -1.25, "0->-1.25 te=1")],
            version="lorapool 1",
        )
    )
    assert made.split("\n") == [
        "a cat <lora:ns/ink:0.8> <lora:nerijs/px:-1.25>",
        "Negative prompt: a dog",
        "Steps: 7, Sampler: Euler a, CFG scale: 4.5, Seed: 5, Size: 64x32, Model: o/b, Model revision: 9c3e1, "
        'Lora hashes: "ns/ink: 0123456789, nerijs/px: fedcba9876", Lora weights: "nerijs/px: 0->-1.25 te=1", '
        "Version: lorapool 1",
    ]


def test_a_hash_of_a_model_is_that_of_a_file_and_never_a_commit() -> None:
    assert "Model hash: 0123456789, Model: o/b, V" in infotext(recipe(revision=SHA))
    assert "Model hash" not in infotext(recipe(revision="c" * 40))


def test_brackets_of_a_plain_prompt_are_said_to_be_none_of_weights() -> None:
    assert "Emphasis: None" in infotext(recipe(prompt="a (cat)", prompt_syntax=PromptSyntax.PLAIN))
    assert "Emphasis" not in infotext(recipe(prompt="a (cat:1.2)", prompt_syntax=PromptSyntax.A1111))
    assert "Emphasis" not in infotext(recipe(prompt_syntax=PromptSyntax.PLAIN))


def test_values_that_would_end_the_line_are_quoted_and_a_nul_is_left_out() -> None:
    made = infotext(recipe(prompt="a\0 c\ud800t", base='o/b, Seed: 6\n"x"'))
    *_, last = made.split("\n")
    assert made.startswith("a c?t\n")
    quoted = re.search(r'Model: ("(?:\\.|[^"\\])*")', last)
    assert quoted is not None
    assert json.loads(quoted[1]) == 'o/b, Seed: 6\n"x"'


def test_every_sampler_has_a_name_there() -> None:
    assert set(SAMPLERS) == set(SchedulerName)
