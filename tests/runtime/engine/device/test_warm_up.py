"""What fits the device is known before anybody asks."""

from pathlib import Path

import pytest
from tests import tiny
from tests.runtime.ask import distance, image
from tests.runtime.engine.device.card import LIMIT, MIB, Card, latents, make

from lorapool_runtime.errors import OutOfDeviceMemory

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_limit_that_does_not_fit_is_told_and_the_rest_is_served(model: Path, card: Card) -> None:
    card.denoiser_fits = lambda shape: shape[2] * shape[3] <= latents(2 * tiny.SIZE**2)
    engine = make(model, card)
    info = engine.info
    assert info.shortfall is not None
    assert info.shortfall.pixels == LIMIT
    assert tiny.SIZE**2 <= info.shortfall.fits <= 2 * tiny.SIZE**2
    assert image(engine).shape == (tiny.SIZE, tiny.SIZE, 3)
    with pytest.raises(OutOfDeviceMemory, match="no room for one picture of 64 x 64 pixels"):
        image(engine, width=64, height=64)
    assert image(engine).shape == (tiny.SIZE, tiny.SIZE, 3)


def test_what_fits_leaves_no_shortfall_and_a_budget(model: Path, card: Card) -> None:
    card.cuda.taken_bytes = 100 * MIB
    engine = make(model, card)
    assert engine.info.shortfall is None
    assert engine.memory.bound_bytes == (1024 - 100 - 1024 // 32) * MIB


def test_a_budget_that_the_pool_names_is_kept(model: Path, card: Card) -> None:
    engine = make(model, card, device_bytes=5 * MIB)
    assert engine.memory.bound_bytes == 5 * MIB


def test_warm_up_is_with_guidance_at_the_usual_size_and_at_the_limit(model: Path, card: Card) -> None:
    seen: list[tuple[int, ...]] = []

    def note(shape: tuple[int, ...]) -> bool:
        seen.append(shape)
        return True

    card.denoiser_fits = note
    make(model, card)
    assert (2, 4, 16, 16) in seen
    assert (2, 4, 32, 32) in seen
    assert (1, 4, 16, 16) in card.decoded


def test_tiles_are_only_for_what_finds_no_room_as_a_whole(model: Path, card: Card) -> None:
    whole = make(model, Card())
    usual, large = image(whole), image(whole, width=64, height=64)
    card.decoder_fits = lambda shape: shape[2] * shape[3] <= latents(tiny.SIZE**2)
    engine = make(model, card)
    assert engine.info.shortfall is None
    card.decoded.clear()
    assert (image(engine) == usual).all()
    assert len(card.decoded) == 1
    card.decoded.clear()
    tiled = image(engine, width=64, height=64)
    assert len(card.decoded) > 1
    assert distance(tiled, large) < 64
    # And back again: what fits as a whole is made as a whole.
    assert (image(engine) == usual).all()


def test_batches_are_measured_with_what_comes_after_the_steps(model: Path, card: Card) -> None:
    card.decoded.clear()
    make(model, card, max_batch=2)
    card.denoiser_fits = lambda shape: shape[0] <= 2
    make(model, card, max_batch=4)
    assert card.decoded.count((1, 4, 16, 16)) >= 4
