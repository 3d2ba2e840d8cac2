"""Merged or unmerged: what each costs on this device, measured once, and the choice for one run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch

from lorapool_api.kinds.serving import ApplyMode
from lorapool_api.lora.facts import Network
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.layers.active import Branch
from lorapool_runtime.engine.diffusers.layers.adapted import branch_of
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, merge_into
from lorapool_runtime.engine.diffusers.layers.switchboard import Stack
from lorapool_runtime.engine.diffusers.layers.target import TargetModule

_RANK: Final = 16
_TIMES: Final = 5
# As many modules as tell the mix of sizes, and keep a device busy while the next ones are launched.
SAMPLES: Final = 48
# The share of an adapter's change, as `merge_loss` has it, that Auto gives up for speed.
MOST_LOSS: Final = 0.1
# Eight pixels a side for a latent, and most of a UNet's work two levels further down, on average.
PER_PIXEL: Final = 1 / (8 * 8 * 8)


@dataclass(frozen=True)
class Costs:
    """Seconds on this device.

    Attributes:
        branch_s: one low-rank pair in one forward, however small: its launches.
        product_s: one more multiplication of a low-rank pair.
        merge_s: one element of a merged weight.
        per_pixel: positions of a module's input for each pixel of each row of a batch, on average.
    """

    branch_s: float
    product_s: float
    merge_s: float
    per_pixel: float = PER_PIXEL


@dataclass(frozen=True)
class StackWork:
    """What a stack is, for the costs of one picture position.

    Attributes:
        branches: low-rank pairs that a forward adds: the pairs of a stack are one for each module.
        products: multiplications of all pairs for one position of their inputs.
        elements: of the weights that a merge would write.
    """

    branches: int
    products: int
    elements: int


@dataclass(frozen=True)
class BudgetRoom:
    """Bytes of the budget that residents and merged weights share.

    Attributes:
        kept: of adapters that run or are pinned.
    """

    budget: int
    kept: int


@dataclass(frozen=True)
class Choice:
    """Whether to merge what could also be added at every step, and why."""

    merge: bool
    why: str


def work_of(stack: Stack) -> StackWork:
    """The stack's low-rank pairs; what can only be merged is merged either way and does not count."""
    pairs = [c for scaled in stack for c in scaled.adapter.deltas if not c.must_merge]
    weights = {id(c.target.module): c.target.elements for c in pairs}
    products = sum(c.parts["down"].numel() + c.parts["up"].numel() for c in pairs)
    return StackWork(len(weights), products, sum(weights.values()))


def prefers_merging(costs: Costs, work: StackWork, forwards: int, positions: float) -> bool:
    """Whether merging once is cheaper than adding at every forward.

    Args:
        forwards: of the denoiser in all, over every picture that is wanted with this stack.
        positions: of a module's input in one forward, on average.
    """
    adding_s = forwards * (work.branches * costs.branch_s + work.products * positions * costs.product_s)
    return work.elements * costs.merge_s < adding_s


def choose(
    mode: ApplyMode,
    costs: Costs | None,
    work: StackWork,
    itemsize: int,
    room: BudgetRoom,
    forwards: int,
    pixels: int,
    loss: float = 0.0,
) -> Choice:
    """The way for one run.

    Args:
        itemsize: bytes of an element of the base's weights.
        pixels: of all rows of one forward.
        loss: the share of its change that an adapter of the stack would lose; 0 where it has not been measured yet.
    """
    if mode is not ApplyMode.AUTO or costs is None:
        return Choice(mode is ApplyMode.MERGED, f"mode {mode}")
    if not work.branches:
        return Choice(merge=False, why="nothing to merge")
    if loss > MOST_LOSS:
        return Choice(merge=False, why=f"merged it would lose {loss:.0%} of its change to rounding")
    if not prefers_merging(costs, work, forwards, pixels * costs.per_pixel):
        return Choice(merge=False, why=f"{forwards} forwards are cheaper with it added")
    size = work.elements * itemsize
    if size > room.budget - room.kept:
        why = f"its merged weights take {size} bytes, of the budget {max(room.budget - room.kept, 0)} are left"
        return Choice(merge=False, why=why)
    return Choice(merge=True, why=f"{forwards} forwards are cheaper with it merged")


def choose_compiled(work: StackWork, loss: float) -> Choice:
    """The way for one run where mode is Auto and the denoiser is compiled: a graph of merged weights adds nothing."""
    if not work.branches:
        return Choice(merge=False, why="nothing to merge")
    if loss > MOST_LOSS:
        return Choice(merge=False, why=f"merged it would lose {loss:.0%} of its change to rounding")
    return Choice(merge=True, why="the denoiser is compiled")


@contextmanager
def positions_of(targets: Sequence[TargetModule]) -> Iterator[dict[int, int]]:
    """While it lasts, notes how many positions the input of each of these Linears has, by the target's number."""
    seen: dict[int, int] = {}

    def noted(number: int) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
        def note(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            seen[number] = inputs[0].numel() // inputs[0].shape[-1]

        return note

    hooks = [target.module.register_forward_pre_hook(noted(i)) for i, target in enumerate(targets)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def per_pixel(targets: Sequence[TargetModule], positions: Sequence[int], pixels: int) -> float:
    """Positions for each of so many pixels of all rows, each target as heavy as a low-rank pair in it is."""
    sizes = [sum(target.shape) for target in targets]
    return sum(count * size for count, size in zip(positions, sizes, strict=True)) / sum(sizes) / pixels


@torch.inference_mode()
def measure(
    targets: Sequence[TargetModule], positions: Sequence[int], per_pixel: float, accelerator: Accelerator
) -> Costs:
    """Time low-rank pairs and merges in Linears of the base, of their real sizes, one after the other as in a forward.

    Args:
        positions: of each target's input in a forward of the usual size.
        per_pixel: as `Costs` has it.
    """
    weight = targets[0].module.weight
    pairs = [_Pair.of(target, count) for target, count in zip(targets, positions, strict=True)]
    branches = [pair.branch for pair in pairs]
    # One input and one output stand for all: they are large, and what they hold does not matter.
    inputs = weight.new_zeros(max(p.count * p.target.shape[1] for p in pairs))
    outputs = weight.new_zeros(max(p.count * p.target.shape[0] for p in pairs))

    def add(most: int) -> None:
        for pair, branch in zip(pairs, branches, strict=True):
            count, (out, into) = min(pair.count, most), pair.target.shape
            pair.target.module.add_branch(
                inputs[: count * into].view(count, into), branch, outputs[: count * out].view(count, out)
            )

    merged_weight = weight.new_empty(max(p.target.module.weight.numel() for p in pairs))

    def merge() -> None:
        for pair in pairs:
            target = pair.target.module.weight
            merge_into(merged_weight[: target.numel()].view_as(target), target, [(pair.delta, 1.0)])

    few_s, real_s = (_median_s(lambda m=m: add(m), accelerator) for m in (1, max(positions)))  # type: ignore[misc]
    products = _RANK * sum((p.count - 1) * sum(p.target.shape) for p in pairs)
    elements = sum(p.target.module.weight.numel() for p in pairs)
    merge_s = _median_s(merge, accelerator)
    product_s = max(real_s - few_s, 0.0) / max(products, 1)
    return Costs(few_s / len(pairs), product_s, merge_s / elements, per_pixel)


@dataclass(frozen=True)
class _Pair:
    target: TargetModule
    count: int
    down: torch.Tensor
    up: torch.Tensor

    @classmethod
    def of(cls, target: TargetModule, count: int) -> "_Pair":
        (outputs, inputs), weight = target.shape, target.module.weight
        down, up = (weight.new_empty(shape).normal_() for shape in ((_RANK, inputs), (outputs, _RANK)))
        return cls(target, count, down, up)

    @property
    def delta(self) -> ModuleDelta:
        return ModuleDelta(self.target, Network.LORA, {"down": self.down, "up": self.up}, 1.0)

    @property
    def branch(self) -> Branch:
        return branch_of(self.target.module, self.down, self.up, 0.5)


def _median_s(work: Callable[[], object], accelerator: Accelerator) -> float:
    work()  # the first one warms up
    return sorted(accelerator.seconds(work) for _ in range(_TIMES))[_TIMES // 2]
