"""The benches on a tiny shape: they measure what they say, and say how exact it is."""

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_bench.coldstart import bench as coldstart
from lorapool_bench.coldstart import child
from lorapool_bench.coldstart import plot as plot_coldstart
from lorapool_bench.measure.quiet import quiet
from lorapool_bench.measure.result import write
from lorapool_bench.overhead import bench as overhead
from lorapool_bench.overhead import plot as plot_overhead
from lorapool_bench.page import page
from lorapool_bench.subjects.random_pipeline import save_pipeline
from lorapool_bench.subjects.unet import SHAPES, inputs, make_unet, twin
from lorapool_bench.switch import bench as switch
from lorapool_bench.switch import plot as plot_switch
from lorapool_bench.switch.result import SwitchResult
from lorapool_bench.ways import launches
from lorapool_bench.ways.wrapper import call_cost, wrapped_modules
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def switched() -> SwitchResult:
    return switch.run("tiny", rounds=1, kinds=["46 MB"])


def test_the_base_is_what_it_was_after_lorapool_s_switches_only(switched: SwitchResult) -> None:
    (kind,) = switched.kinds
    assert kind.base_identical
    assert 0.01 < kind.article_changed < 0.9


def test_every_way_puts_the_adapter_in_force(switched: SwitchResult) -> None:
    """An adapter is a tenth of the weights: without it, or with the other one, modules are off by more than that."""
    (kind,) = switched.kinds
    for way in kind.ways:
        assert way.exact.output_error < 0.02, way.name
    assert kind.way("merged").exact.weights_equal == pytest.approx(1.0, abs=1e-4)
    assert kind.way("resident").exact.weights_equal is None


def test_ways_are_made_of_what_they_have_to_do(switched: SwitchResult) -> None:
    (kind,) = switched.kinds
    assert {way.name: list(way.parts) for way in kind.ways} == {
        "article": ["load", "fuse", "unfuse", "unload"],
        "hotswap": ["hotswap"],
        "resident": ["check", "set"],
        "host": ["check", "bring", "set"],
        "disk": ["read", "check", "bring", "set"],
        "merged": ["check", "set"],
    }
    assert switched.peak_bytes > 0


def test_twins_share_their_weights() -> None:
    unet = make_unet(SHAPES["tiny"], torch.float32)
    other = twin(unet)
    next(other.parameters()).data.fill_(7.0)
    assert bool((next(unet.parameters()) == 7.0).all())


@torch.inference_mode()
def test_states_of_a_step_are_what_their_names_say(tmp_path: Path) -> None:
    unet = make_unet(SHAPES["tiny"], torch.float32)
    outputs = {}
    for state in list(overhead.states(unet, tmp_path)):
        state.enter()
        outputs[state.name] = state.unet(**inputs(SHAPES["tiny"], torch.float32, "cpu", 4, state.pictures)).sample
    assert torch.equal(outputs["plain"], outputs["wrapped"])
    torch.testing.assert_close(outputs["unmerged 46 MB"], outputs["merged 46 MB"], atol=1e-4, rtol=1e-4)
    assert (outputs["unmerged 46 MB"] - outputs["plain"]).abs().max() > 1e-2
    assert (outputs["unmerged 168 MB"] - outputs["unmerged 46 MB"]).abs().max() > 1e-2
    # The first picture has the same adapter in both batches, the others have not.
    alike = (outputs["mixed batch"] - outputs["unmerged batch"]).abs().amax(dim=(1, 2, 3))
    assert alike[0] < 1e-4 < 1e-2 < alike[1:].min()


def test_a_wrapper_s_cost_is_of_all_modules_that_an_adapter_can_change() -> None:
    unet = make_unet(SHAPES["tiny"], torch.float32)
    changeable = sum(type(m) is nn.Linear or type(m) is nn.Conv2d for m in unet.modules())
    Switchboard({"unet": unet})
    assert wrapped_modules(unet) == changeable > 0
    cost = call_cost(rounds=20)
    assert cost.count == 20
    # A call of a Linear is some microseconds; what was measured is one, less another.
    assert abs(cost.median) < 1e-3


@torch.inference_mode()
def test_what_is_active_while_the_host_is_timed_is_what_its_name_says() -> None:
    torch.manual_seed(1)
    owner = nn.ModuleDict({name: nn.Linear(8, 8) for name in "ab"}).requires_grad_(False)
    plain = copy.deepcopy(owner)
    board = Switchboard({"unet": owner})
    off = {}
    for name, (plan, rows) in launches.plans(board).items():
        x = torch.ones(rows, 4, 8)
        board.switch(plan)
        off[name] = torch.stack([(owner[module](x) - plain[module](x))[:, 0] for module in owner])
    assert off.keys() == launches.WORDS.keys()
    # Alike pictures, and each copy of them for guidance, have the adapter of their row.
    torch.testing.assert_close(off["mixed"][:, 0], off["one"][:, 0])
    torch.testing.assert_close(off["mixed"][:, :3].sum(1), off["stack"][:, 0])
    torch.testing.assert_close(off["mixed"][:, :4], off["mixed"][:, 4:])
    assert off["mixed"][0, :4].diff(dim=0).abs().amax(dim=-1).min() > 1e-2


def test_what_the_host_does_for_active_adapters_is_more_than_for_none() -> None:
    for cost in launches.forward_costs(rounds=5, modules=40).values():
        assert cost.count == 5
        # Two calls of torch at least for each module.
        assert cost.median > 40 * 1e-7


def test_loaders_that_are_compared_load_the_same(tmp_path: Path) -> None:
    quiet()
    save_pipeline(tmp_path / "pipeline", SHAPES["tiny"], torch.float32)
    pipelines = [way(tmp_path / "pipeline", Dtype.BFLOAT16, Device.CPU) for way in child.WAYS.values()]
    assert tuple(child.WAYS) == coldstart.WAYS
    for component in ("unet", "vae", "text_encoder", "text_encoder_2"):
        states = [getattr(pipeline, component).state_dict() for pipeline in pipelines]
        for name, tensor in states[0].items():
            assert all(torch.equal(tensor, state[name]) for state in states[1:]), f"{component} {name}"


def test_results_are_drawn_and_stand_on_the_page(switched: SwitchResult, tmp_path: Path) -> None:
    def load(way: str, folders: coldstart.PipelineFolders, dtype: str, device: str) -> Mapping[str, float]:
        assert folders.measured.is_dir()
        return {"load_s": 2.0, "touch_s": 0.5, "peak_bytes": 2**30, "own_bytes": 2**29}

    started = coldstart.run("tiny", rounds=1, load=load)
    stepped = overhead.run("tiny", rounds=1, pixels=32, dtype="float32")
    write(switched, tmp_path, "switch")
    write(started, tmp_path, "coldstart")
    write(stepped, tmp_path, "overhead")
    drawn = (
        plot_switch.draw(switched, tmp_path / "switch.png"),
        plot_coldstart.draw(started, tmp_path / "coldstart.png"),
        plot_overhead.draw(stepped, tmp_path / "overhead.png"),
    )
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    text = page(tmp_path)
    assert "**2.5 s**" in text
    assert "wrapped, no adapter" in text
    assert f"for all {stepped.modules} wrapped" in text
    assert "lorapool: from the device" in text
