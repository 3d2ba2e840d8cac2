"""What the engine waits for while it makes a picture, and what comes to the host."""

from pathlib import Path

import numpy as np
import pytest
from tests import tiny
from tests.runtime.ask import finished, image, request
from tests.runtime.engine.device.card import Card, make

from lorapool_runtime.engine.result import Rendering, Unfinished

pytestmark = pytest.mark.usefixtures("one_thread")

PICTURE_BYTES = 3 * tiny.SIZE**2 + 1


def test_the_engine_waits_for_nothing_that_it_launched(model: Path, card: Card) -> None:
    """The thread that finishes a request does: its pixels come only then, and the times of its stages."""
    engine = make(model, card)
    wanted = image(engine)
    waited, waited_for_all = card.cuda.main.waited, card.cuda.waited_for_all
    (result,) = engine.render([request()])
    assert isinstance(result, Unfinished)
    down = card.cuda.streams[-1]
    assert down.waiting
    assert down.follows[-1] is card.cuda.main
    (made,) = finished([result])
    assert isinstance(made, Rendering)
    assert (np.asarray(made.images[0]) == wanted).all()
    assert made.inference_s > made.decode_s > 0
    assert (card.cuda.main.waited, card.cuda.waited_for_all) == (waited, waited_for_all)


def test_of_a_picture_its_bytes_come_to_the_host_and_nothing_else(model: Path, card: Card) -> None:
    engine = make(model, card)
    image(engine)  # the first one's latents teach previews
    card.cuda.copied_late.clear()
    image(engine)
    assert card.cuda.copied_late == [PICTURE_BYTES]


def test_pictures_are_whole_whatever_the_engine_makes_before_somebody_looks(model: Path, card: Card) -> None:
    engine = make(model, card)
    alone = [image(engine, seed=seed) for seed in range(3)]
    results = [engine.render([request(seed=seed)])[0] for seed in range(3)]
    engine.check()
    late = finished(list(reversed(results)))
    made = [np.asarray(r.images[0]) for r in reversed(late) if isinstance(r, Rendering)]
    assert len(made) == 3
    assert all((a == b).all() for a, b in zip(alone, made, strict=True))
