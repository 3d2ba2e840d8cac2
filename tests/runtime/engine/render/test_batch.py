"""Pictures with different adapters in one forward: each is what it is alone, to rounding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import tiny
from tests.runtime.ask import Pixels, distance, finished, image, read, reference_image, rendered, request
from tests.runtime.conftest import load_reference, make_engine, measured_as

from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import RenderRequest, WarmEngine
from lorapool_runtime.engine.diffusers.device.batching import Batching, measure
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.result import Rendering
from lorapool_runtime.errors import Stopped


@pytest.fixture(scope="module")
def batching(model: Path) -> DiffusersEngine:
    return make_engine(model, max_batch=4)


@pytest.fixture(scope="module")
def adapters(batching: DiffusersEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, HostAdapter]:
    folder, pipeline = tmp_path_factory.mktemp("adapters"), load_reference_once(batching)
    attention = tiny.attention_modules(pipeline)
    denoiser = [m for m in attention if m[0] == "unet"]
    some = {
        "text": tiny.make_changes(pipeline, attention, seed=1),
        "unet": tiny.make_changes(pipeline, denoiser, rank=2, seed=2),
        "convolutions": tiny.make_changes(pipeline, tiny.convolutions(pipeline), seed=3),
    }
    return {name: read(batching, tiny.write_kohya(folder / f"{name}.safetensors", c)) for name, c in some.items()}


def load_reference_once(engine: DiffusersEngine) -> object:
    return engine.parts.pipeline


def together(engine: WarmEngine, *requests: RenderRequest[HostAdapter]) -> list[list[Pixels]]:
    results = finished(engine.render(requests))
    made = [r for r in results if isinstance(r, Rendering)]
    assert len(made) == len(requests)
    assert all(r.rows == sum(len(m.images) for m in made) for r in made)
    return [[np.asarray(i) for i in r.images] for r in made]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_each_picture_of_a_mixed_batch_is_what_it_is_alone(
    batching: DiffusersEngine, adapters: dict[str, HostAdapter], guidance: float
) -> None:
    stacks = [[(adapters["text"], 1.0)], [], [(adapters["unet"], 0.7), (adapters["convolutions"], -0.5)]]
    asked = {"guidance_scale": guidance}
    requests = [request(*stack, seed=i, prompt=f"picture {i}", **asked) for i, stack in enumerate(stacks)]
    alone = [np.asarray(rendered(batching, o).images[0]) for o in requests]
    mixed = [pictures[0] for pictures in together(batching, *requests)]
    for one, other in zip(alone, mixed, strict=True):
        assert distance(one, other) <= 1
    # And they are pictures with their own adapters: any two stacks with the same seed and prompt differ by far more.
    same_seed = [np.asarray(rendered(batching, replace(o, recipe=requests[0].recipe)).images[0]) for o in requests]
    assert min(distance(same_seed[0], s) for s in same_seed[1:]) > 20


def test_a_mixed_picture_is_the_one_of_diffusers(
    batching: DiffusersEngine, model: Path, adapters: dict[str, HostAdapter], tmp_path: Path
) -> None:
    reference = load_reference(model)
    changes = tiny.make_changes(reference, [m for m in tiny.attention_modules(reference) if m[0] == "unet"], seed=9)
    file = tiny.write_diffusers(tmp_path / "a.safetensors", changes)
    mine = request((read(batching, file), 1.0), seed=4)
    mixed, _ = together(batching, mine, request((adapters["text"], 1.0), seed=5))
    tiny.merge(reference, [(changes, 1.0)])
    assert distance(mixed[0], reference_image(reference, seed=4)) <= 2


def test_several_pictures_of_one_request_share_a_forward(batching: DiffusersEngine) -> None:
    alone = rendered(measured_as(batching, batching=Batching()), request(images=3))
    made = rendered(measured_as(batching, batching=Batching(rows=4, pixels=10**9)), request(images=3))
    assert (alone.rows, made.rows) == (1, 3)
    assert max(distance(np.asarray(a), np.asarray(b)) for a, b in zip(alone.images, made.images, strict=True)) <= 1


def test_the_same_batch_gives_the_same_bytes(batching: DiffusersEngine, adapters: dict[str, HostAdapter]) -> None:
    requests = [request((adapters["unet"], 1.0), seed=1), request((adapters["text"], 1.0), seed=2)]
    first, second = (together(batching, *requests) for _ in range(2))
    assert all((a[0] == b[0]).all() for a, b in zip(first, second, strict=True))


def test_after_a_batch_the_base_is_the_bare_base(batching: DiffusersEngine, adapters: dict[str, HostAdapter]) -> None:
    before = image(batching)
    together(batching, request((adapters["text"], 1.0)), request((adapters["convolutions"], 1.0)))
    assert (image(batching) == before).all()


def test_one_client_of_a_batch_may_go_and_the_others_get_their_pictures(
    batching: DiffusersEngine, adapters: dict[str, HostAdapter]
) -> None:
    stays, goes = request((adapters["unet"], 1.0), seed=3), replace(request(seed=4), stop=lambda: True)
    kept, gone = finished(batching.render([stays, goes]))
    assert isinstance(gone, Stopped)
    assert isinstance(kept, Rendering)
    assert distance(np.asarray(kept.images[0]), np.asarray(rendered(batching, stays).images[0])) <= 1


def test_who_mixes(batching: DiffusersEngine, adapters: dict[str, HostAdapter], model: Path) -> None:
    assert all(batching.mixes(adapter) for adapter in adapters.values())
    assert not make_merging(model).mixes(adapters["unet"])


def make_merging(model: Path) -> DiffusersEngine:
    return make_engine(model, mode=ApplyMode.MERGED)


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [
        ({1: 1.0, 2: 2.0, 4: 4.0}, 1),  # no gain
        ({1: 1.0, 2: 1.2, 4: 2.0, 8: 3.0}, 4),  # as far as a forward may take
        ({1: 1.0, 2: 1.95, 4: 1.6}, 4),
    ],
)
def test_batches_are_made_where_they_are_measured_to_be_faster(seconds: dict[int, float], rows: int) -> None:
    now = [0.0]

    def make(count: int) -> None:
        now[0] += seconds[count]

    found = measure(make, 4, 64 * 64, clock=lambda: now[0])
    assert found == Batching(rows, 64 * 64)
    assert (found.rows_for(64 * 64), found.rows_for(64 * 65)) == (rows, 1)
