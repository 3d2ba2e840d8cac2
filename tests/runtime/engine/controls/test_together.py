"""Controls beside what else a pool may ask of its base: graphs, packed weights, host memory, the Hub."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import tiny
from tests.runtime.ask import distance, image, read
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.controls import make_control, make_image_prompt, picture, specs, unet_keys
from tests.waiting import wait_until

from lorapool_api.kinds.base_model import Offload, Quantization, QuantizationMethod
from lorapool_api.kinds.models.controls import ControlKind, ControlSpec
from lorapool_api.kinds.serving import ApplyMode
from lorapool_hub.app import serving
from lorapool_hub.server import running
from lorapool_runtime.engine.diffusers.compiled.make import with_twin
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.warm_up import Measured
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.passes import ControlPicture

pytestmark = pytest.mark.timeout(600)
EDGES = (ControlPicture("edges", picture(1), scale=0.8),)
STYLE = (ControlPicture("style", picture(2, (50, 40)), scale=0.7),)
LEFT = Image.fromarray(np.tile((np.arange(tiny.SIZE) < tiny.SIZE // 2).astype(np.uint8) * 255, (tiny.SIZE, 1)))
OTHERS: tuple[dict[str, Any], ...] = ({"controls": STYLE}, {"controls": (), "masks": (LEFT,)})
ROUNDING = 1
SEEN = 4


@pytest.fixture(scope="module")
def net(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_control(tmp_path_factory.mktemp("nets") / "edges", load_reference(model), seed=0)


@pytest.fixture(scope="module")
def controls(net: Path, model: Path) -> tuple[ControlSpec, ...]:
    """A ControlNet and an IP-Adapter."""
    keys = unet_keys(load_reference(model).unet)
    style = {"style": make_image_prompt(net.parent / "style", keys, seed=5)}
    file = "models/ip.safetensors"
    return (
        *specs({"edges": net}, kind=ControlKind.CONTROL_NET),
        *specs(style, kind=ControlKind.IP_ADAPTER, file=file, image_encoder=None),
    )


@pytest.fixture(scope="module")
def plain(model: Path, controls: tuple[ControlSpec, ...]) -> DiffusersEngine:
    return make_engine(model, controls=controls)


@pytest.fixture
def adapter_file(model: Path, tmp_path: Path) -> Path:
    reference = load_reference(model)
    changes = tiny.make_changes(reference, tiny.attention_modules(reference), alpha=2.0)
    return tiny.write_kohya(tmp_path / "a.safetensors", changes)


def controlled(engine: DiffusersEngine, file: Path, **changes: Any) -> Any:
    return image(engine, (read(engine, file), 0.8), **{"controls": EDGES} | changes)


def compiled(model: Path, controls: tuple[ControlSpec, ...]) -> DiffusersEngine:
    """With graphs that are run as they are."""
    eager = make_engine(model, ApplyMode.AUTO, controls=controls)
    compiler = partial(torch.compile, backend="eager", fullgraph=True, dynamic=False)
    graphs = with_twin(eager.parts.pipeline.unet, eager.parts.board, compiler)
    assert graphs is not None
    return DiffusersEngine(replace(eager.parts, compiled=graphs), eager.info, Measured(None, Batching()), 2**30)


def test_the_weights_of_controls_are_counted(
    model: Path, engine: DiffusersEngine, controls: tuple[ControlSpec, ...], net: Path
) -> None:
    with_net = make_engine(model, controls=controls[:1])
    weights = (net / "diffusion_pytorch_model.safetensors").stat().st_size
    assert with_net.info.size_bytes - engine.info.size_bytes == pytest.approx(weights, rel=0.1)
    assert with_net.info.revision == engine.info.revision, "the base is the same"


def test_a_controlled_picture_is_the_graphs_and_others_are_eager(
    model: Path, controls: tuple[ControlSpec, ...], plain: DiffusersEngine, adapter_file: Path
) -> None:
    engine = compiled(model, controls)
    try:
        wanted = controlled(plain, adapter_file)
        assert distance(controlled(engine, adapter_file), wanted) <= ROUNDING
        graphs = engine.parts.compiled
        assert graphs is not None
        wait_until(lambda: graphs.figures.graphs == 1, "a graph", deadline_s=300)
        eager_runs = graphs.figures.eager_runs
        assert distance(controlled(engine, adapter_file), wanted) <= ROUNDING
        assert (graphs.figures.eager_runs, graphs.figures.misses) == (eager_runs, 0), "it was the graph's"
        for changes in OTHERS:
            assert (
                distance(controlled(engine, adapter_file, **changes), controlled(plain, adapter_file, **changes)) <= 1
            )
        assert graphs.figures.graphs == 1
    finally:
        torch.compiler.reset()


@pytest.mark.parametrize("changes", [{}, *OTHERS], ids=["net", "image prompt", "mask"])
def test_a_packed_base_is_controlled(
    model: Path, controls: tuple[ControlSpec, ...], adapter_file: Path, changes: dict[str, Any]
) -> None:
    engine = make_engine(model, controls=controls, quantization=Quantization(method=QuantizationMethod.INT8))
    bare = controlled(engine, adapter_file, controls=())
    made = controlled(engine, adapter_file, **changes)
    assert distance(made, bare) > SEEN
    assert (controlled(engine, adapter_file, controls=()) == bare).all()


@pytest.mark.parametrize("changes", [{}, *OTHERS], ids=["net", "image prompt", "mask"])
def test_a_base_in_host_memory_is_controlled(
    model: Path,
    controls: tuple[ControlSpec, ...],
    plain: DiffusersEngine,
    adapter_file: Path,
    changes: dict[str, Any],
) -> None:
    engine = make_engine(model, controls=controls, offload=Offload.GROUP)
    assert distance(controlled(engine, adapter_file, **changes), controlled(plain, adapter_file, **changes)) <= ROUNDING


SCRIPT = """
import json
import sys
import torch
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.models.controls import ControlSpec
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.diffusers.load import load_engine
from lorapool_runtime.errors import ModelError

torch.set_num_threads(1)
for said in json.loads(sys.argv[2]):
    control = ControlSpec.model_validate(said)
    spec = BaseModelSpec(source=ModelSource.model_construct(path=sys.argv[1]), controls=(control,), dtype="float32")
    serving = Serving.model_validate({"defaults": {"width": 32, "height": 32}})
    try:
        print("made", load_engine(spec, Device.CPU, 2**20, serving).info.size_bytes)
    except ModelError as error:
        print("refused", error)
"""


def test_controls_come_from_the_hub(model: Path, controls: tuple[ControlSpec, ...], tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    make_control(hub / "edges", load_reference(model), seed=0)
    make_image_prompt(hub / "style", unet_keys(load_reference(model).unet), seed=5)
    for name in ("edges", "style"):
        (hub / name / "README.md").write_text("---\nlibrary_name: diffusers\n---\n")
    of_style = {"kind": "IPAdapter", "file": "models/ip.safetensors"}
    encoder = {"source": {"hub": {"repo": "lorapool/style"}}, "folder": "models/image_encoder"}
    wanted = [
        {"name": "edges", "source": {"hub": {"repo": "lorapool/edges"}}},
        {"name": "edges", "source": {"hub": {"repo": "lorapool/nothere"}}},
        {"name": "style", "source": {"hub": {"repo": "lorapool/style"}}, **of_style},
        {"name": "style", "source": {"hub": {"repo": "lorapool/style"}}, **of_style, "imageEncoder": encoder},
        {"name": "style", "source": {"hub": {"repo": "lorapool/nothere"}}, **of_style},
    ]
    with running(serving(hub)) as url:
        environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-c", SCRIPT, str(model), json.dumps(wanted)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    edges, no_edges, style, again, no_style = [
        line for line in done.stdout.splitlines() if line.startswith(("made", "refused"))
    ]
    sizes = [make_engine(model, controls=(control,)).info.size_bytes for control in controls]
    assert [edges, style, again] == [f"made {size}" for size in (*sizes, sizes[1])]
    why = "(lorapool/nothere) cannot be loaded: lorapool/nothere at main is no repository"
    assert no_edges.startswith(f"refused the control edges {why}")
    assert no_style.startswith(f"refused the control style {why}")
