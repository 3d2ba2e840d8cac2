"""A device that is full, in each part of a request: what can be had again is given back, and it is tried once more."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.runtime.ask import distance, finished, image, rendered, request
from tests.runtime.conftest import measured_as
from tests.runtime.engine.device.card import Card, adapter, make

from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.costs import Costs
from lorapool_runtime.engine.result import Applied, Rendering
from lorapool_runtime.errors import OutOfDeviceMemory

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_vae_works_on_one_picture_at_a_time_and_each_is_what_it_is_alone(model: Path, card: Card) -> None:
    engine = make(model, card)
    alone = [image(engine, seed=7 + i) for i in range(3)]
    engine = measured_as(engine, batching=Batching(rows=4, pixels=10**9))
    card.decoded.clear()
    made = rendered(engine, request(images=3))
    assert made.rows == 3
    assert {shape[0] for shape in card.decoded} == {1}
    assert max(distance(np.asarray(a), b) for a, b in zip(made.images, alone, strict=True)) <= 1


@pytest.mark.parametrize("part", ["denoiser_fits", "decoder_fits"])
def test_a_full_device_gives_up_what_nobody_uses_and_tries_again(
    model: Path, card: Card, tmp_path: Path, part: str
) -> None:
    engine = make(model, card)
    merged, other = (adapter(engine, model, tmp_path, kind) for kind in ("loha kohya", "lora peft, all modules"))
    wanted = image(engine, (other, 1.0))
    image(engine, (merged, 1.0))
    assert engine.parts.board.merged_bytes > 0
    emptied = card.cuda.emptied

    def only_what_runs(shape: tuple[int, ...]) -> bool:
        return engine.parts.board.merged_bytes == 0 and engine.on_device() == {other.identity}

    setattr(card, part, only_what_runs)
    assert (image(engine, (other, 1.0)) == wanted).all()
    assert card.cuda.emptied > emptied


def test_a_batch_that_finds_no_room_is_made_picture_by_picture(model: Path, card: Card) -> None:
    engine = make(model, card)
    alone = [image(engine, seed=7 + i) for i in range(3)]
    engine = measured_as(engine, batching=Batching(rows=4, pixels=10**9))
    card.denoiser_fits = lambda shape: shape[0] <= 2
    made = rendered(engine, request(images=3))
    assert made.rows == 1
    assert all((np.asarray(a) == b).all() for a, b in zip(made.images, alone, strict=True))
    # Orders of several clients in one batch, too.
    results = finished(engine.render([request(seed=7 + i) for i in range(3)]))
    assert all(
        isinstance(r, Rendering) and (np.asarray(r.images[0]) == b).all() for r, b in zip(results, alone, strict=True)
    )


def test_what_never_fits_is_said_once_and_harms_nobody(model: Path, card: Card, tmp_path: Path) -> None:
    engine = make(model, card)
    lora = adapter(engine, model, tmp_path, "lora peft, all modules")
    before = image(engine)
    forwards = []

    def too_large(shape: tuple[int, ...]) -> bool:
        forwards.append(shape)
        return shape[3] < 32

    card.denoiser_fits = too_large
    with pytest.raises(OutOfDeviceMemory, match="ask for fewer pixels"):
        image(engine, (lora, 1.0), width=64, height=64)
    assert len(forwards) == 2
    assert (image(engine) == before).all()


def test_weights_that_find_no_room_when_they_are_merged_are_added_instead(
    model: Path, card: Card, tmp_path: Path
) -> None:
    engine = make(model, card, mode=ApplyMode.AUTO)
    lora = adapter(engine, model, tmp_path, "lora peft, all modules")
    merging = Costs(branch_s=1.0, product_s=1.0, merge_s=0.0)
    roomy = measured_as(engine, costs=merging)
    assert rendered(roomy, request((lora, 1.0))).applied is Applied.MERGED
    assert roomy.device_bytes > lora.size_bytes
    roomy.check()
    narrow = measured_as(engine, costs=merging, bound_bytes=lora.size_bytes)
    assert rendered(narrow, request((lora, 0.9))).applied is Applied.UNMERGED

    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    full = measured_as(engine, costs=merging, merge=no_room)
    assert rendered(full, request((lora, 0.8))).applied is Applied.UNMERGED


def test_merged_weights_and_residents_share_one_budget(model: Path, card: Card, tmp_path: Path) -> None:
    engine = make(model, card)
    added, merged = (adapter(engine, model, tmp_path, kind) for kind in ("lora peft, all modules", "loha kohya"))
    image(engine, (merged, 1.0))
    bound_bytes = engine.device_bytes + added.size_bytes - 1
    engine.check()
    engine = measured_as(engine, bound_bytes=bound_bytes)
    image(engine, (merged, 1.0))
    image(engine, (added, 1.0))
    assert engine.on_device() == {added.identity}
    image(engine, (merged, 1.0))
    assert engine.device_bytes <= bound_bytes


def test_pairs_of_a_stack_take_of_the_same_budget(model: Path, card: Card, tmp_path: Path) -> None:
    """What was put side by side for other stacks goes before the budget is passed."""
    engine = make(model, card, mode=ApplyMode.UNMERGED)
    one, two = (adapter(engine, model, tmp_path, kind) for kind in ("lora peft, all modules", "lora peft"))
    alone, both = image(engine, (one, 1.0)), one.size_bytes + two.size_bytes
    assert engine.device_bytes == one.size_bytes
    stacked = image(engine, (one, 0.7), (two, 0.4))
    own = engine.device_bytes - both
    assert own > two.size_bytes // 2
    engine = measured_as(engine, bound_bytes=both + own)
    assert (image(engine, (one, 0.7), (two, 0.4)) == stacked).all()
    for scale in (0.1, 0.2, 0.3):
        image(engine, (one, scale), (two, 0.4))
        assert engine.device_bytes == both + own
    engine.check()
    assert engine.device_bytes <= both
    assert (image(engine, (one, 1.0)) == alone).all()
