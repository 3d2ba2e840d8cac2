"""A compiled denoiser: no switch compiles again, and no weight of the graph ever moves."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.runtime.networks import MAKERS, judged
from tests.waiting import wait_until
from torch import nn

from lorapool_api.lora.layouts.keys import PARTS
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.compiled.denoiser import CompiledDenoiser
from lorapool_runtime.engine.diffusers.compiled.make import graph_compiler, with_twin
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Stack, Switchboard
from lorapool_runtime.engine.diffusers.weights.parts import arranged

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]
# Of the largest value of the answer: the same sums in the same kernels.
ROUNDING = 1e-5


def small_unet(widths: tuple[int, int] = (8, 16)) -> Any:
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
        norm_num_groups=4,
    )
    return unet.eval().requires_grad_(False)


def arguments(rows: int = 2, side: int = 8) -> dict[str, Any]:
    dice = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        return {
            "sample": torch.randn((rows, 4, side, side), generator=dice),
            "timestep": torch.tensor(500),
            "encoder_hidden_states": torch.randn((rows, 5, 16), generator=dice),
            "return_dict": False,
        }


@dataclass
class Bed:
    """A UNet on a switchboard, compiled by a backend that counts graphs and runs them as they are, or by another."""

    unet: Any = field(default_factory=small_unet)
    backend: Any = None
    ranks: tuple[int, ...] = ()
    graphs: int = 0

    def __post_init__(self) -> None:
        self.board = Switchboard({"unet": self.unet})
        # Breaks of a graph are errors (`fullgraph`), and so are recompilations.
        compiler = graph_compiler(backend=self.backend or self._count)
        made = with_twin(self.unet, self.board, compiler, stance="fail_on_recompile", ranks=self.ranks, most=8)
        assert made is not None
        self.compiled: CompiledDenoiser = made

    def _count(self, graph: Any, example: Any) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward  # type: ignore[no-any-return]

    def answer(self, given: dict[str, Any]) -> torch.Tensor:
        with torch.inference_mode(), self.compiled.one_run():
            return self.unet(**given)[0]  # type: ignore[no-any-return]

    def eager(self, given: dict[str, Any]) -> torch.Tensor:
        """What is active, outside a run."""
        with torch.inference_mode():
            return self.unet(**given)[0]  # type: ignore[no-any-return]

    def compile(self, given: dict[str, Any]) -> None:
        before = self.compiled.figures.graphs
        self.board.switch(self.board.plan(()))
        self.answer(given)
        wait_until(lambda: self.compiled.figures.graphs > before, deadline_s=300, what="a graph")

    def adapter(self, kind: str, rank: int, seed: int) -> DeviceAdapter:
        dice = torch.Generator().manual_seed(seed)
        names = sorted(self.board.modules()["unet"])
        deltas = []
        for name in random.Random(seed).sample(names, 6):  # noqa: S311 -- the same each time
            target = self.board.find("unet", name)
            assert target is not None
            tensors = MAKERS[kind](target.shape, rank, dice)
            weight = judged(name, tensors, self.board.modules()).weight
            parts = arranged(weight, target.shape[1:], {PARTS[key]: 0.1 * t for key, t in tensors.items()})
            parts = {part: t.float() for part, t in parts.items()}
            deltas.append(ModuleDelta(target, weight.network, parts, 1.0))
        return DeviceAdapter(f"{kind} {rank} {seed}", tuple(deltas), 0)


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    made = Bed()
    made.compile(arguments())
    yield made
    torch.compiler.reset()


def addresses(module: nn.Module) -> list[int]:
    return [parameter.data_ptr() for parameter in module.parameters()]


def test_a_thousand_switches_compile_nothing_and_move_no_weight(bed: Bed) -> None:
    given, choice = arguments(), random.Random(7)  # noqa: S311
    adapters = [
        bed.adapter(kind, rank, seed)
        for seed, (kind, rank) in enumerate((kind, rank) for kind in sorted(MAKERS) for rank in (1, 3, 16, 128))
    ]
    before, graphs, eager = addresses(bed.compiled.twin), bed.graphs, bed.compiled.figures.eager_runs
    mixed = 0
    for i in range(1000):
        stack = some_stack(adapters, choice)
        if choice.random() < 0.1:
            low_rank = [a for a in adapters if all(d.mixes for d in a.deltas)]
            rows = [((ScaledAdapter(choice.choice(low_rank), 1.0),), 1), ((), 1)]
            bed.board.switch(bed.board.plan_rows(rows))
            mixed += 1
        else:
            bed.board.switch(bed.board.plan(stack, merge=True))
        made = bed.answer(given)
        if i % 50 == 0:
            wanted = bed.eager(given)
            assert float((made - wanted).abs().max()) <= ROUNDING * float(wanted.abs().max())
    assert bed.graphs == graphs
    assert addresses(bed.compiled.twin) == before
    assert bed.compiled.figures.misses == 0
    # Rows with adapters of their own are no graph's.
    assert bed.compiled.figures.eager_runs - eager == mixed


def some_stack(adapters: list[DeviceAdapter], choice: random.Random) -> Stack:
    """Up to three, or none; one DoRA at most."""
    found = choice.sample(adapters, choice.randint(0, 3))
    doras = [a for a in found if any(d.has_magnitude for d in a.deltas)]
    return tuple(ScaledAdapter(a, choice.uniform(-1, 1)) for a in found if a not in doras[1:])


def test_the_base_again_is_the_base_bit_for_bit(bed: Bed) -> None:
    given = arguments()
    bed.board.switch(bed.board.plan(()))
    bare = bed.answer(given)
    bed.board.switch(bed.board.plan((ScaledAdapter(bed.adapter("lora", 4, 1), 1.0),), merge=True))
    assert not torch.equal(bed.answer(given), bare)
    bed.board.switch(bed.board.plan(()))
    assert torch.equal(bed.answer(given), bare)
    bed.board.release()
    bed.board.switch(bed.board.plan(()))
    assert torch.equal(bed.answer(given), bare)


def test_what_is_added_runs_eagerly_and_right(bed: Bed) -> None:
    """Weights of the graph hold another adapter meanwhile: they must not be used."""
    given, adapter = arguments(), bed.adapter("lora", 4, 1)
    bed.board.switch(bed.board.plan((ScaledAdapter(adapter, 1.0),), merge=True))
    merged = bed.answer(given)
    bed.board.switch(bed.board.plan((ScaledAdapter(adapter, -1.0),), merge=False))
    added = bed.answer(given)
    assert torch.equal(added, bed.eager(given))
    assert float((added - merged).abs().max()) > 100 * ROUNDING
    bed.board.clear()
    assert torch.equal(bed.answer(given), bed.eager(given))


def test_another_size_is_served_eagerly_until_it_has_a_graph_of_its_own(bed: Bed) -> None:
    given, before = arguments(rows=1, side=16), bed.graphs
    bed.board.switch(bed.board.plan(()))
    eager = bed.compiled.figures.eager_runs
    wanted = bed.eager(given)
    assert torch.equal(bed.answer(given), wanted)
    assert bed.compiled.figures.eager_runs == eager + 1
    wait_until(lambda: bed.compiled.figures.graphs == 2, deadline_s=300, what="a second graph")
    assert bed.graphs == before + 1
    made = bed.answer(given)
    assert bed.compiled.figures.eager_runs == eager + 1
    assert float((made - wanted).abs().max()) <= ROUNDING * float(wanted.abs().max())


def test_graphs_of_another_model_are_never_taken() -> None:
    """A graph does not look whose modules it is given: those of another denoiser must be out of its reach."""
    given = arguments()
    pair = [Bed(small_unet(widths), "eager") for widths in ((8, 16), (12, 24))]
    for each in pair:
        each.compile(given)
    for each in pair:
        wanted = each.eager(given)
        assert float((each.answer(given) - wanted).abs().max()) <= ROUNDING * float(wanted.abs().max())
        assert each.compiled.figures.misses == 0


def test_memory_of_the_twin_is_that_of_the_adapted_weights_alone(bed: Bed) -> None:
    shared = {p.data_ptr() for p in bed.unet.parameters()}
    own = [p for p in bed.compiled.twin.parameters() if p.data_ptr() not in shared]
    adapted = [t for name in bed.board.modules()["unet"] if (t := bed.board.find("unet", name))]
    assert len(own) == len(adapted) + sum(t.has_bias for t in adapted)
    assert len(shared) > len(own)
