"""Threads beside the engine's compute without helpers of OpenMP, which would take the engine's turns on the cores."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.waiting import wait_until

from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.engine.contract import no_progress
from lorapool_runtime.engine.diffusers.base.converted import LoadOptions, converting, sources
from lorapool_runtime.engine.diffusers.base.mapped import MappedFile
from lorapool_runtime.engine.diffusers.compiled.denoiser import CompiledDenoiser
from lorapool_runtime.engine.diffusers.compiled.make import graph_compiler, with_twin
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.host_threads import one_thread
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.render.pictures.pixels import Pictures
from lorapool_runtime.engine.diffusers.render.pictures.previews import LatentPreview
from lorapool_runtime.sources.blobs import hash_file

pytestmark = pytest.mark.usefixtures("two_threads")

# Large enough for torch to share the work out.
SIDE = 512
RANK = 8192


@pytest.fixture
def two_threads(one_thread: None) -> Iterator[None]:
    """For each thread that begins: one helper, where it computes with more than one."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def threads() -> int:
    """Of this process, OpenMP's among them."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def helpers_of(work: Callable[[], Any]) -> int:
    """How many threads there are more once another one has done this, and still lives."""
    before = threads()
    with ThreadPoolExecutor(1) as other:
        other.submit(work).result()
        helpers = threads() - before - 1
    # The next one counts from here: they end with their thread.
    wait_until(lambda: threads() == before, "the end of its helpers")
    return helpers


def computed() -> int:
    """By MKL and by torch's own loops. Returns: how many threads torch takes now."""
    square = torch.ones(SIDE, SIDE)
    (square @ square).exp_()
    return torch.get_num_threads()


def test_a_thread_has_helpers_until_it_does_without() -> None:
    assert helpers_of(computed) == 1
    assert helpers_of(one_thread()(computed)) == 0


def test_other_threads_keep_theirs() -> None:
    with ThreadPoolExecutor(1) as engine, ThreadPoolExecutor(1) as other:
        assert engine.submit(computed).result() == 2
        assert other.submit(one_thread()(computed)).result() == 1
        assert engine.submit(computed).result() == 2
        assert other.submit(computed).result() == 2, "and so does this one, afterwards"


def test_reading_an_adapter_needs_no_helpers(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    modules = tiny.attention_modules(reference)
    path = tiny.write_kohya(tmp_path / "a.safetensors", tiny.make_changes(reference, modules[:1], rank=RANK, alpha=2.0))
    file = AdapterFile(path, hash_file(path), check_file(path, max_rank=RANK))
    assert helpers_of(lambda: engine.read(file)) == 0


def test_previews_need_no_helpers() -> None:
    preview, latents = LatentPreview(), torch.rand(4, SIDE, SIDE)
    made = Pictures(np.full((1, SIDE, SIDE, 3), 127, dtype=np.uint8), (True,))

    def seen() -> None:
        preview.learn(lambda: made, lambda: latents)
        assert preview.decode(latents, (SIDE, SIDE)) is not None

    assert helpers_of(seen) == 0


def test_a_graph_s_thread_ends_with_its_helpers() -> None:
    model, x = torch.nn.Sequential(torch.nn.Linear(SIDE, SIDE)).requires_grad_(False), torch.ones(SIDE, SIDE)

    def drawn() -> CompiledDenoiser:
        computed()
        board = Switchboard({"unet": model})
        made = with_twin(model, board, graph_compiler(backend="eager"))
        assert made is not None
        board.switch(board.plan(()))
        with torch.inference_mode(), made.one_run():
            model(x)
        return made

    with ThreadPoolExecutor(1) as engine:
        engine.submit(computed).result()
        before = threads()
        made = engine.submit(drawn).result()
        wait_until(lambda: made.figures.graphs == 1, "a graph", deadline_s=300)
        wait_until(lambda: threads() == before, "the end of the thread that made it, and of its helpers")
    torch.compiler.reset()


def test_a_file_s_tensors_are_converted_without_helpers(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(SIDE, SIDE), "b": torch.ones(SIDE, SIDE)}, tmp_path / "a.safetensors")
    wanted = list(sources([MappedFile(tmp_path / "a.safetensors")]).values())
    target = LoadOptions(torch.bfloat16, torch.device("cpu"))
    before = threads()
    with converting(wanted, target, no_progress) as tensor_of:
        for source in wanted:
            tensor_of(source)
        assert threads() - before <= len(wanted)
    assert torch.get_num_threads() == 2
