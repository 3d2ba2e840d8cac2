"""What active adapters ask of the host: a device may wait for it, however quickly it computes."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch
from torch import nn

from lorapool_api.lora.networks import Network
from lorapool_bench.measure.spread import Spread, spread
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.host_threads import one_thread
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Plan, Switchboard

# Of SDXL's UNet, those that the largest adapters change.
MODULES: Final = 722
PICTURES: Final = 4
_SIZE, _RANK = 8, 4
# Next to nothing to multiply: (rows, positions, channels).
_POSITIONS: Final = 1
ONE, STACK, MIXED = "one", "stack", "mixed"
WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ONE: "an adapter",
        STACK: "a stack of three, of strengths of their own",
        MIXED: f"{PICTURES} pictures with guidance, an adapter and a strength each",
    }
)


@one_thread()
def forward_costs(rounds: int, modules: int = MODULES) -> dict[str, Spread]:
    """Seconds of the host that a forward of so many Linears takes longer than the plain ones, by what is active.

    On one thread: a host launches kernels on one, and what there is to multiply is no work for several. Its CPU time
    counts: what else the machine does moves it less.
    """
    torch.manual_seed(0)
    owner = nn.ModuleDict({f"m{i}": nn.Linear(_SIZE, _SIZE) for i in range(modules)}).requires_grad_(False)
    plain = [copy.deepcopy(module) for module in owner.values()]
    board = Switchboard({"unet": owner})
    wrapped, active = list(owner.values()), plans(board)
    found: dict[str, list[float]] = {name: [] for name in active}

    def forward(linears: Sequence[nn.Module], x: torch.Tensor) -> Callable[[], None]:
        def calls() -> None:
            for linear in linears:
                linear(x)

        return calls

    with torch.inference_mode():
        for i in range(1 + rounds):
            for name, (plan, rows) in active.items():
                x = torch.zeros(rows, _POSITIONS, _SIZE)
                board.switch(plan)
                forward(wrapped[:1], x)()  # what all modules share of a batch is made for its first one
                took_s = _cpu_s(forward(wrapped, x)) - _cpu_s(forward(plain, x))
                found[name] += [took_s] if i else []
    return {name: spread(samples) for name, samples in found.items()}


def _cpu_s(work: Callable[[], None]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def plans(board: Switchboard) -> dict[str, tuple[Plan, int]]:
    """(what is active, rows of a forward's input), by name; of the modules of a `unet`, all Linears of one size."""
    adapters = [_adapter(board, str(i)) for i in range(PICTURES)]
    scaled = [ScaledAdapter(adapter, 0.5 + i / 8) for i, adapter in enumerate(adapters)]
    return {
        ONE: (board.plan((scaled[0],)), 2),
        STACK: (board.plan(tuple(scaled[:3])), 2),
        MIXED: (board.plan_rows([((one,), 1) for one in scaled]), 2 * PICTURES),
    }


def _adapter(board: Switchboard, identity: str) -> DeviceAdapter:
    deltas = []
    for target in board.linears("unet", most=len(board.modules()["unet"])):
        down, up = torch.randn(_RANK, target.shape[1]), torch.randn(target.shape[0], _RANK)
        deltas.append(ModuleDelta(target, Network.LORA, {"down": down, "up": up}, 1.0))
    return DeviceAdapter(identity, tuple(deltas), 0)
