"""A base's first forwards: what is lazy happens, what is broken shows, and what the device can do is measured."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

import structlog

from lorapool_api.kinds.serving import ApplyMode
from lorapool_api.rules.usual import CompleteServing
from lorapool_api.wire.state import LimitShortfall
from lorapool_runtime.engine.diffusers.device import batching, fitting
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.costs import PER_PIXEL, SAMPLES, Costs, measure, per_pixel, positions_of
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.layers.target import TargetModule

log = structlog.get_logger(__name__)

_SMALL_SIDE: Final = 64
# On a CPU, costs are measured for inputs of so many positions: more would only take longer.
_POSITIONS: Final = 1024


class OneStep(Protocol):
    """Makes so many pictures of the bare base in one step, with the pool's guidance, and decodes them."""

    def __call__(self, width: int, height: int, rows: int, *, tiled: bool | None = None) -> None: ...


@dataclass(frozen=True)
class Measured:
    """What the first forwards have measured.

    Attributes:
        costs: None where nothing is to be chosen.
        whole_pixels: up to so many the VAE works on a picture as a whole; None: always.
        budget_bytes: what adapters may take of the device; None where that cannot be measured.
    """

    costs: Costs | None
    batching: Batching
    whole_pixels: int | None = None
    budget_bytes: int | None = None
    shortfall: LimitShortfall | None = None


def small_side(serving: CompleteServing) -> int:
    """Of a picture that goes through all of the base, and takes no time."""
    return min(_SMALL_SIDE, serving.defaults.width, serving.defaults.height)


def warm_up(
    one_step: OneStep, board: Switchboard, serving: CompleteServing, accelerator: Accelerator, free: Callable[[], None]
) -> Measured:
    """Make pictures of the sizes that will be asked for.

    Where memory is the device's own, the pool's usual size and the largest that its limits allow are tried once each.
    On a CPU a small picture is all: nothing of a larger one comes late there, and it would take as long as a request.

    Args:
        free: gives back what can be had again, after what did not fit.
    """
    side = small_side(serving)
    one_step(side, side, 1)
    targets = board.linears("unet", SAMPLES) or board.linears("transformer", SAMPLES)
    if accelerator.memory() is None:
        costs = _costs(serving, targets, [_POSITIONS] * len(targets), PER_PIXEL, accelerator)
        return Measured(costs, _batching(one_step, serving, free))
    return _on_its_own_memory(one_step, targets, serving, accelerator, free)


def _on_its_own_memory(
    one_step: OneStep,
    targets: Sequence[TargetModule],
    serving: CompleteServing,
    accelerator: Accelerator,
    free: Callable[[], None],
) -> Measured:
    usual, limit = serving.defaults, serving.limits.pixels
    usual_pixels = usual.width * usual.height
    rows = {usual_pixels: 1}

    def make(pixels: int, tiled: bool) -> int:
        width, height = (usual.width, usual.height) if pixels == usual_pixels else fitting.square(pixels)
        return accelerator.peak_bytes(lambda: one_step(width, height, rows.get(pixels, 1), tiled=tiled))

    with positions_of(targets) as seen:
        fit = fitting.find(make, usual_pixels, usual_pixels, free)
    costs = None
    if fit.pixels:
        found, positions = [targets[i] for i in seen], list(seen.values())
        guided = 2 if usual.guidance_scale > 1 else 1
        costs = _costs(serving, found, positions, per_pixel(found, positions, guided * usual_pixels), accelerator)
        batches = _batching(one_step, serving, free)
        rows[usual_pixels] = batches.rows_for(usual_pixels)
        fit = fitting.find(make, usual_pixels, limit, free)
    else:
        batches = Batching()
        fit = fitting.find(make, small_side(serving) ** 2, usual_pixels, free)
    free()
    return Measured(costs, batches, fit.whole_pixels, _budget(accelerator, fit), _shortfall(fit, limit))


def _costs(
    serving: CompleteServing,
    targets: Sequence[TargetModule],
    positions: Sequence[int],
    each: float,
    accelerator: Accelerator,
) -> Costs | None:
    # Where weights are packed, nothing is to be chosen.
    if serving.mode is not ApplyMode.AUTO or not targets or any(target.is_packed for target in targets):
        return None
    costs = measure(targets, positions, each, accelerator)
    log.info("costs of applying adapters measured", **asdict(costs))
    return costs


def _budget(accelerator: Accelerator, fit: fitting.Fit) -> int:
    memory = accelerator.memory()
    if memory is None:
        return 0
    budget = fitting.budget_bytes(memory.free_bytes, memory.total_bytes, fit.peak_bytes)
    log.info("memory of the device measured", **asdict(fit), **asdict(memory), budget_bytes=budget)
    return budget


def _shortfall(fit: fitting.Fit, limit: int) -> LimitShortfall | None:
    if fit.pixels >= limit:
        return None
    log.warning("not all that the pool's limits allow fits the device", pixels=limit, fits=fit.pixels)
    return LimitShortfall(pixels=limit, fits=fit.pixels)


def _batching(one_step: OneStep, serving: CompleteServing, free: Callable[[], None]) -> Batching:
    # With a step cache each picture is alone.
    if serving.max_batch == 1 or serving.step_cache is not None:
        return Batching()
    usual = serving.defaults

    def make(rows: int) -> None:
        one_step(usual.width, usual.height, rows)

    found = batching.measure(make, serving.max_batch, usual.width * usual.height, free)
    log.info("batches measured", **asdict(found))
    return found
