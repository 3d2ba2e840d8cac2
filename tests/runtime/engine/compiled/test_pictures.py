"""Pictures of a pod whose denoiser is compiled."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.runtime.ask import distance, image, read, reference_image, rendered, request
from tests.runtime.conftest import make_engine
from tests.waiting import wait_until

from lorapool_api.kinds.serving import ApplyMode, CompileMode
from lorapool_runtime.engine.diffusers.compiled.make import compiled_denoiser, graph_compiler, with_twin
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.warm_up import Measured
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.result import Applied

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def compiled(model: Path) -> Iterator[DiffusersEngine]:
    """An engine whose graphs are run as they are: dynamo's part is what is tried here, not a code generator's."""
    plain = make_engine(model, mode=ApplyMode.AUTO)
    compiler = graph_compiler(backend="eager")
    made = with_twin(plain.parts.pipeline.unet, plain.parts.board, compiler)
    assert made is not None
    parts = replace(plain.parts, compiled=made)
    yield DiffusersEngine(parts, plain.info, Measured(None, Batching()), 2**30)
    torch.compiler.reset()


def test_the_first_pictures_are_eager_and_the_later_ones_the_graphs(
    compiled: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    graphs = compiled.parts.compiled
    assert graphs is not None
    chosen = tiny.make_changes(reference, tiny.attention_modules(reference), alpha=2.0)
    adapter = read(compiled, tiny.write_kohya(tmp_path / "a.safetensors", chosen))
    base = image(compiled)
    assert graphs.figures.eager_runs == 1
    wait_until(lambda: graphs.figures.graphs == 1, "a graph", deadline_s=300)
    assert distance(image(compiled), base) <= 1

    tiny.merge(reference, [(chosen, 0.8)])
    made = rendered(compiled, request((adapter, 0.8)))
    assert made.applied is Applied.MERGED
    assert distance(np.asarray(made.images[0]), reference_image(reference)) <= 1
    assert distance(image(compiled), base) <= 1
    assert graphs.figures.eager_runs == 1, "all but the first were the graph's"
    assert graphs.figures.misses == 0
    assert compiled.compiled == graphs.figures


def test_a_pool_that_says_nothing_has_no_graphs(engine: DiffusersEngine) -> None:
    assert engine.compiled is None
    assert compiled_denoiser(engine.parts.pipeline, engine.parts.board, CompileMode.OFF) is None
