"""Files of every kind, drawn by the engine and by the libraries that wrote them; the base stays what it was."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.ask import adapter_file, distance, image, read, reference_image, rendered, request
from tests.runtime.conftest import load_reference, make_engine, measured_as
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, merge_into
from lorapool_runtime.errors import AdapterError, RecipeError, Stopped

ROUNDING = 1
SEEN = 25


@pytest.mark.parametrize("kind", EVERY)
def test_a_file_draws_as_the_library_that_wrote_it(
    kind: str, engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    base = reference_image(reference)
    adapter = read(engine, EVERY[kind](reference, tmp_path))
    with torch.no_grad():
        wanted = reference_image(reference)

    assert distance(wanted, base) > SEEN
    assert distance(image(engine, (adapter, 1.0)), wanted) <= ROUNDING
    assert distance(image(engine), base) <= ROUNDING


@pytest.fixture(scope="module")
def adapters(loaded: Any, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, HostAdapter]:
    """One of every kind, read by the engine."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        kind: loaded[0].read(adapter_file(put(load_reference(model), folder / str(i))))
        for i, (kind, put) in enumerate(EVERY.items())
    }


# How far the two ways may be apart, in 1/255 of a pixel after three steps: the weights are rounded in one of them, the
# sums of the outputs in the other. Twice what was measured, 0, 1 and 10; the base alone is 0, 1 and 3 from itself in
# float32.
APART = {Dtype.FLOAT32: 1, Dtype.FLOAT16: 2, Dtype.BFLOAT16: 20}


@pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")  # diffusers' pipeline calls its own
@pytest.mark.parametrize("dtype", APART)
def test_merged_and_unmerged_agree_to_rounding(dtype: Dtype, model: Path, tmp_path: Path) -> None:
    engines = [make_engine(model, mode, dtype) for mode in (ApplyMode.MERGED, ApplyMode.UNMERGED)]
    for i, kind in enumerate(("lora kohya, mixed ranks, text too", "lora peft, all modules", "dora diffusers")):
        file = adapter_file(EVERY[kind](load_reference(model), tmp_path / str(i)))
        by_merging, added = (image(engine, (engine.read(file), 0.6)) for engine in engines)
        assert distance(by_merging, added) <= APART[dtype]
        assert distance(by_merging, image(engines[0])) > SEEN


def test_auto_takes_the_cheaper_way_and_says_what_it_measured(model: Path, tmp_path: Path) -> None:
    engine = make_engine(model, ApplyMode.AUTO)
    adapter = engine.read(adapter_file(EVERY["lora kohya, mixed ranks, text too"](load_reference(model), tmp_path)))
    costs = engine.activator.costs
    assert costs is not None
    assert min(costs.branch_s, costs.merge_s) > 0

    added = image(measured_as(engine, costs=replace(costs, merge_s=1e9)), (adapter, 1.0))
    assert engine.parts.board.merged_bytes == 0
    by_merging = image(measured_as(engine, costs=replace(costs, merge_s=0.0)), (adapter, 1.0))
    assert engine.parts.board.merged_bytes > 0
    assert distance(by_merging, added) <= ROUNDING


def test_a_stack_of_two_doras_has_no_meaning(engine: DiffusersEngine, adapters: dict[str, HostAdapter]) -> None:
    doras = [adapters["dora diffusers"], adapters["dora peft, convolutions too"]]
    with pytest.raises(RecipeError, match="one DoRA"):
        image(engine, *((adapter, 0.5) for adapter in doras))


def test_the_order_of_a_stack_does_not_matter(engine: DiffusersEngine, adapters: dict[str, HostAdapter]) -> None:
    stack = [(adapters[kind], scale) for kind, scale in (("locon kohya", 0.5), ("dora diffusers", 0.8))]
    assert distance(image(engine, *stack), image(engine, *reversed(stack))) <= ROUNDING


def _digest(engine: DiffusersEngine) -> str:
    """Over every parameter and buffer of the base."""
    digest = hashlib.sha256()
    for component in ("unet", "text_encoder", "text_encoder_2", "vae"):
        for name, tensor in sorted(getattr(engine.parts.pipeline, component).state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.timeout(600)
def test_the_base_is_the_same_after_a_thousand_switches_and_failures(
    engine: DiffusersEngine, adapters: dict[str, HostAdapter]
) -> None:
    is_full = False

    def merge(out: torch.Tensor, weight: torch.Tensor, deltas: Sequence[tuple[ModuleDelta, float]]) -> None:
        if is_full:
            raise torch.OutOfMemoryError("no room")
        merge_into(out, weight, deltas)

    engine = measured_as(engine, merge=merge)
    before, weights = image(engine, steps=1), _digest(engine)
    choice = random.Random(5)  # noqa: S311 -- a test wants the same numbers each time
    held = list(adapters.values())
    failures = 0
    for _ in range(1000):
        stack = [(a, choice.uniform(-2, 2)) for a in choice.choices(held, k=choice.randint(0, 3))]
        if choice.random() < 0.1:
            engine.forget(choice.choice(held).identity)
        is_full = choice.random() < 0.05
        # Nothing is drawn: what runs before the first step is the switch.
        with pytest.raises((Stopped, RecipeError, AdapterError)) as ended:
            rendered(engine, replace(request(*stack), stop=lambda: True))
        failures += not isinstance(ended.value, Stopped)
    is_full = False
    assert 0 < failures < 900
    assert _digest(engine) == weights
    assert (image(engine, steps=1) == before).all()
