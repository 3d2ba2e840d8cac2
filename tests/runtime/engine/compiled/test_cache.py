"""What was compiled is in the cache folder: a process that starts anew finds it there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROCESS = """
import sys, time
from pathlib import Path

from lorapool_runtime.settings import prepare_environment

prepare_environment(Path(sys.argv[1]))

import torch
from torch._dynamo.utils import counters

from lorapool_runtime.engine.diffusers.compiled.make import graph_compiler, with_twin
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard

torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 4)).requires_grad_(False)
board = Switchboard({"unet": model})
compiled = with_twin(model, board, graph_compiler())
board.switch(board.plan(()))
with torch.inference_mode():
    x = torch.randn(2, 8)
    with compiled.one_run():
        eager = model(x)
    end = time.monotonic() + 600
    while not compiled.figures.graphs and time.monotonic() < end:
        time.sleep(0.05)
    with compiled.one_run():
        assert torch.allclose(model(x), eager, atol=1e-5)
assert compiled.figures.graphs == 1 and compiled.figures.eager_runs == 1, compiled.figures
print("cache of inductor:", counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""


def run(cache: Path) -> list[int]:
    """(hits, misses) of inductor's cache in a process of its own."""
    own = {"TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"}
    environment = {key: value for key, value in os.environ.items() if key not in own}
    # One thread compiles: the test has one graph.
    environment |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}  # slower than what it saves for one kernel
    command = [sys.executable, "-c", PROCESS, str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("cache of inductor:"))
    return [int(count) for count in line.split()[-2:]]


@pytest.mark.timeout(1700)
def test_a_process_that_starts_anew_compiles_nothing_that_was_compiled(tmp_path: Path) -> None:
    assert run(tmp_path) == [0, 1]
    assert any((tmp_path / "compiled").rglob("*"))
    assert run(tmp_path) == [1, 0]
