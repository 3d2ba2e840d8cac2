"""What the stages of a render wait for."""

from pathlib import Path

import pytest
from tests.runtime.ask import image
from tests.runtime.engine.device.card import Card, make

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_stages_of_a_render_wait_for_the_render_alone(model: Path, card: Card) -> None:
    """Who waits for the whole device waits for uploads for other requests too."""
    engine = make(model, card)
    waited, waited_for_all = card.cuda.main.waited, card.cuda.waited_for_all
    image(engine)
    assert card.cuda.main.waited > waited
    assert card.cuda.waited_for_all == waited_for_all
