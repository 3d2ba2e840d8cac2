"""Scales by step, by block and by text encoder draw what weights computed in float64 before each step draw."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny
from tests.runtime.ask import distance, finished, image, read, reference_image, rendered, request
from tests.runtime.conftest import load_reference, measured_as
from tests.runtime.engine.weighting.reference import Strength, block_of, drawn
from tests.tiny import Change

from lorapool_api.kinds.serving import ApplyMode
from lorapool_api.wire.weighting.blocks import SDXL, Blocks
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.warm_up import Measured
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.result import Applied, Rendering

ROUNDING = 1
SEEN = 10
STEPS = 5
FALLING = ((0.0, 1.2), (0.4, 0.3), (0.8, -0.5))
LONG = (0.5, 0.9, 0.1, 1.0, 0.0, 0.4, 0.7, 1.1, 1.2, 1.3, 0.6, 1.4, 0.2, 0.8, -0.3, 0.3, 1.0, 1.0, 1.0, 1.0)


def falling(change: Change, step: int) -> float:
    """What FALLING is of five steps: its text encoders keep what the first step has."""
    return 1.2 if step < 2 else 0.3 if step < 4 else -0.5


def of_blocks(scale: float, weights: dict[str, float]) -> Strength:
    return lambda change, step: scale * weights.get(block_of(change), 0.0)


@pytest.fixture(scope="module")
def pipeline(model: Path) -> Any:
    return load_reference(model)


@pytest.fixture(scope="module")
def changes(pipeline: Any) -> list[list[Change]]:
    modules = tiny.attention_modules(pipeline) + tiny.convolutions(pipeline)
    return [tiny.make_changes(pipeline, modules, seed=seed, alpha=3.0) for seed in (1, 2)]


@pytest.fixture
def merging(engine: DiffusersEngine) -> DiffusersEngine:
    """Another engine on the same base, for a pool that has its adapters merged."""
    serving = engine.parts.serving.model_copy(update={"mode": ApplyMode.MERGED})
    return DiffusersEngine(replace(engine.parts, serving=serving), engine.info, Measured(None, Batching()), 2**30)


@pytest.fixture
def batching(engine: DiffusersEngine) -> DiffusersEngine:
    return measured_as(engine, batching=Batching(4, tiny.SIZE**2))


@pytest.fixture(scope="module")
def files(changes: list[list[Change]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [tiny.write_kohya(folder / f"{i}.safetensors", found) for i, found in enumerate(changes)]


def adapters(engine: DiffusersEngine, files: list[Path]) -> list[HostAdapter]:
    return [read(engine, file) for file in files]


@pytest.mark.parametrize(
    ("blocks", "weights"),
    [
        pytest.param("OUTALL", dict.fromkeys(("BASE", *(f"OUT{n:02}" for n in range(9))), 1.0), id="preset"),
        pytest.param(
            (0.2, 1.0, 0.3, 0.0, 0.0, 0.6, 0.9, -0.4, 1.2, 0.0, 0.0, 0.5),
            {
                "BASE": 0.2,
                "IN04": 1.0,
                "IN05": 0.3,
                "MID": 0.6,
                "OUT00": 0.9,
                "OUT01": -0.4,
                "OUT02": 1.2,
                "OUT05": 0.5,
            },
            id="short list",
        ),
        pytest.param(LONG, dict(zip(SDXL.long, LONG, strict=True)), id="long list"),
    ],
)
def test_each_block_counts_what_is_said_of_it_merged_and_added(
    engine: DiffusersEngine,
    merging: DiffusersEngine,
    pipeline: Any,
    changes: list[list[Change]],
    files: list[Path],
    blocks: Blocks,
    weights: dict[str, float],
) -> None:
    wanted = drawn(pipeline, [(changes[0], of_blocks(0.8, weights))])
    assert distance(wanted, drawn(pipeline, [(changes[0], lambda change, step: 0.8)])) > SEEN
    scale = Weighting(steps=((0, 0.8),), blocks=blocks)
    for base, applied in ((engine, Applied.UNMERGED), (merging, Applied.MERGED)):
        made = rendered(base, request((adapters(base, files)[0], scale)))
        assert made.applied is applied
        assert distance(np.asarray(made.images[0]), wanted) <= ROUNDING


@pytest.mark.parametrize("mode", [ApplyMode.UNMERGED, ApplyMode.MERGED])
def test_scales_by_step_and_a_steady_one_beside_them(
    engine: DiffusersEngine,
    merging: DiffusersEngine,
    pipeline: Any,
    changes: list[list[Change]],
    files: list[Path],
    mode: ApplyMode,
) -> None:
    base = engine if mode is ApplyMode.UNMERGED else merging
    stack = [(changes[0], falling), (changes[1], lambda change, step: 0.6)]
    wanted = drawn(pipeline, stack, steps=STEPS)
    assert distance(wanted, drawn(pipeline, [(changes[0], lambda c, s: 1.2), stack[1]], steps=STEPS)) > SEEN
    first, second = adapters(base, files)
    made = rendered(base, request((first, Weighting(steps=FALLING)), (second, 0.6), steps=STEPS))
    assert made.applied is Applied.UNMERGED
    assert distance(np.asarray(made.images[0]), wanted) <= ROUNDING
    # What comes next has the base, not what was active at the last step.
    assert distance(image(base), reference_image(pipeline)) <= ROUNDING


def test_each_image_of_a_request_begins_with_the_first_scale(
    engine: DiffusersEngine, pipeline: Any, changes: list[list[Change]], files: list[Path]
) -> None:
    scale = Weighting(steps=FALLING)
    both = rendered(engine, request((adapters(engine, files)[0], scale), steps=STEPS, images=2)).images
    assert distance(np.asarray(both[1]), drawn(pipeline, [(changes[0], falling)], steps=STEPS, seed=8)) <= ROUNDING


@pytest.mark.parametrize("text", [0.0, 0.4])
def test_text_encoders_have_a_scale_of_their_own(
    engine: DiffusersEngine,
    merging: DiffusersEngine,
    pipeline: Any,
    changes: list[list[Change]],
    files: list[Path],
    text: float,
) -> None:
    def strength(change: Change, step: int) -> float:
        return text if change.component != "unet" else 0.9

    wanted = drawn(pipeline, [(changes[0], strength)])
    assert distance(wanted, drawn(pipeline, [(changes[0], lambda change, step: 0.9)])) > SEEN
    for base in (engine, merging):
        made = image(base, (adapters(base, files)[0], Weighting(steps=((0, 0.9),), text_encoder=text)))
        assert distance(made, wanted) <= ROUNDING


def test_a_scale_for_text_encoders_that_an_adapter_does_not_change_means_nothing(
    engine: DiffusersEngine, pipeline: Any, tmp_path: Path
) -> None:
    denoiser = [m for m in tiny.attention_modules(pipeline) if m[0] == "unet"]
    file = tiny.write_kohya(tmp_path / "a.safetensors", tiny.make_changes(pipeline, denoiser))
    adapter = read(engine, file)
    said = image(engine, (adapter, Weighting(steps=((0, 0.9),), text_encoder=0.1)))
    assert (said == image(engine, (adapter, 0.9))).all()


def test_the_pictures_of_a_batch_have_each_their_own(
    batching: DiffusersEngine, pipeline: Any, changes: list[list[Change]], files: list[Path]
) -> None:
    first, second = adapters(batching, files)
    late = Weighting(steps=((0, 0.0), (0.6, 1.0)), text_encoder=0.5)
    weights = (0.2, 1.0, 0.3, 0.0, 0.0, 0.6, 0.9, -0.4, 1.2, 0.0, 0.0, 0.5)
    requests = [
        request((first, Weighting(steps=FALLING)), steps=STEPS),
        request((second, late), (first, 0.3), steps=STEPS, seed=8),
        request((second, Weighting(steps=((0, 1),), blocks=weights)), steps=STEPS, seed=9),
        request(steps=STEPS, seed=10),
    ]
    made = finished(batching.render(requests))
    named = dict(zip(SDXL.short, weights, strict=True))
    stacks: list[list[tuple[list[Change], Strength]]] = [
        [(changes[0], falling)],
        [(changes[1], lambda c, s: 0.5 if c.component != "unet" else float(s >= 3)), (changes[0], lambda c, s: 0.3)],
        [(changes[1], of_blocks(1, named))],
        [],
    ]
    for i, (result, stack) in enumerate(zip(made, stacks, strict=True)):
        assert isinstance(result, Rendering)
        assert (result.rows, result.applied) == (4, Applied.MIXED)
        assert distance(np.asarray(result.images[0]), drawn(pipeline, stack, steps=STEPS, seed=7 + i)) <= ROUNDING


def test_diffusers_own_weights_of_adapters_draw_the_same(engine: DiffusersEngine, model: Path, tmp_path: Path) -> None:
    reference = load_reference(model)
    # Attention only: diffusers weighs the blocks of no other modules.
    path = tiny.write_kohya(
        tmp_path / "a.safetensors", tiny.make_changes(reference, tiny.attention_modules(reference), alpha=2.0)
    )
    reference.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="a")
    unet = {"down": 0.5, "mid": 0.2, "up": {"block_0": [0.9, 0.8, 0.7]}}

    def said(factor: float) -> dict[str, Any]:
        up = {"block_0": [factor * w for w in (0.9, 0.8, 0.7)]}
        return {
            "text_encoder": 0.6,
            "text_encoder_2": 0.6,
            "unet": {**unet, "down": 0.5 * factor, "mid": 0.2 * factor, "up": up},
        }

    def after(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipeline.set_adapters("a", said(0.3 if step + 1 >= 3 else 1.4))
        return {}

    reference.set_adapters("a", said(1.4))
    wanted = reference_image(reference, {"callback_on_step_end": after}, steps=STEPS)
    weights = (1.0, 0.5, 0.5, 0.0, 0.0, 0.2, 0.9, 0.8, 0.7, 0.0, 0.0, 0.0)
    scale = Weighting(steps=((0, 1.4), (0.6, 0.3)), text_encoder=0.6, blocks=weights)
    adapter = read(engine, path)
    assert distance(image(engine, (adapter, scale), steps=STEPS), wanted) <= ROUNDING
    assert distance(image(engine, (adapter, 1.4), steps=STEPS), wanted) > SEEN
