"""The judge of pictures, tried on drawings whose content is known."""

from dataclasses import replace

import numpy as np
import pytest

from lorapool_models.pictures.judge import crispness, effect, judge, style_of
from lorapool_models.pictures.outlines import OUTLINES
from lorapool_models.pictures.palette import PALETTE
from lorapool_models.pictures.scene import SIZE, Scene, backdrop, draw
from lorapool_models.pictures.styles import STYLES

PAIRS = [
    ("red", "cyan"), ("yellow", "blue"), ("white", "purple"), ("green", "pink"),
    ("orange", "black"), ("blue", "orange"), ("pink", "white"), ("black", "yellow"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "pair"), zip(OUTLINES, PAIRS, strict=True))
def test_a_drawing_is_read_as_what_was_drawn(shape: str, pair: tuple[str, str]) -> None:
    scene = replace(Scene.named(shape, *pair), centre=(60.0, 69.0), radius=36.0, tilt_degrees=4.0)
    verdict = judge(draw(scene))
    assert (verdict.colour, verdict.background) == pair
    assert verdict.shows(shape)
    assert verdict.overlap > 0.85


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_told_from_plain_with_its_content_kept(style: str) -> None:
    # A star of five tiles is a square with something missing: only a plainer shape can be told in a mosaic.
    shape = "triangle" if style == "pixel" else "star"
    scene = Scene.named(shape, "red", "cyan", radius=42.0)
    styled = STYLES[style](scene)
    verdict = judge(styled, style)
    assert (verdict.colour, verdict.background) == ("red", "cyan")
    assert verdict.shows(shape)
    assert style_of(styled, among=("plain", *STYLES), read_as=style) == style
    assert effect(styled, style) > effect(draw(scene), style) + 0.35


def test_noise_on_a_drawing_does_not_mislead() -> None:
    dice = np.random.default_rng(0)
    noisy = draw(Scene.named("cross", "green", "white")) + dice.normal(0, 0.03, (SIZE, SIZE, 3)).astype(np.float32)
    verdict = judge(noisy.clip(0, 1))
    assert (verdict.shape, verdict.colour, verdict.background) == ("cross", "green", "white")


def test_an_empty_background_shows_no_shape() -> None:
    verdict = judge(backdrop(PALETTE["blue"]))
    assert not verdict.shows(verdict.shape)


def test_pure_noise_shows_no_shape() -> None:
    dice = np.random.default_rng(1)
    verdict = judge(dice.uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32))
    assert not verdict.shows(verdict.shape)


def test_what_is_blurred_is_less_crisp_than_its_drawing() -> None:
    drawn = draw(Scene("circle", PALETTE["red"], PALETTE["blue"]))
    blurred = np.mean([np.roll(drawn, by, axis=1) for by in range(-2, 3)], axis=0).astype(drawn.dtype)
    assert crispness(drawn) == pytest.approx(1, abs=0.05)
    assert 0.1 < crispness(blurred) < 0.6
