"""From orders to forwards, and from what they made to an outcome for each order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.engine.contract import Order, Rendering, Result, Step, unheard
from lorapool_runtime.engine.diffusers.render.previews import Previews, where_it_goes
from lorapool_runtime.engine.diffusers.render.run import Run
from lorapool_runtime.errors import AdapterError, Stopped

MakeRendering = Callable[[tuple[Image.Image, ...], tuple[str, ...]], Rendering]


@dataclass(frozen=True)
class Sitting:
    """The pictures that are made together.

    Attributes:
        orders: all that are rendered now.
        rows: (index of the order, seed) of each picture.
        number, of: which sitting it is, from 0, and of how many.
    """

    orders: Sequence[Order]
    rows: tuple[tuple[int, int], ...]
    number: int
    of: int

    def watch(
        self,
        previews: Previews,
        done: int,
        of: int,
        before: torch.Tensor | None,
        latents: torch.Tensor,
        scheduler: Any,
    ) -> None:
        """Tell the orders of a step. Raises: Stopped."""
        number, total = self.number * of + done, self.of * of
        shown: torch.Tensor | None = None
        for index, order in enumerate(self.orders):
            if order.on_step is unheard:
                continue
            preview = None
            if order.shows(number, total):
                shown = where_it_goes(before, latents, scheduler) if shown is None else shown
                row = next((r for r, (i, _) in enumerate(self.rows) if i == index), 0)
                preview = previews.draw(shown[row], (order.recipe.width, order.recipe.height))
            order.on_step(Step(number, total, preview))
        self.go_on()

    def go_on(self) -> None:
        """Raises: Stopped when nobody wants any of the pictures any more."""
        if all(order.stop() for order in self.orders):
            raise Stopped


def finished(
    orders: Sequence[Order], sittings: Sequence[Sitting], runs: Sequence[Run], rendering: MakeRendering
) -> list[Result]:
    """What each order gets."""
    pixels: list[list[NDArray[np.uint8]]] = [[] for _ in orders]
    finite = [True] * len(orders)
    warnings = tuple(dict.fromkeys(run.warning for run in runs if run.warning))
    for sitting, run in zip(sittings, runs, strict=True):
        for (index, _), picture, is_finite in zip(sitting.rows, run.pixels, run.finite, strict=True):
            pixels[index].append(picture)
            finite[index] &= is_finite
    rows = zip(orders, pixels, finite, strict=True)
    return [_result(order, made, warnings, rendering, finite=good) for order, made, good in rows]


def _result(
    order: Order,
    made: Sequence[NDArray[np.uint8]],
    warnings: tuple[str, ...],
    rendering: MakeRendering,
    *,
    finite: bool,
) -> Result:
    """A forward that ran into infinity is an error, not a black square."""
    if order.stop():
        return Stopped()
    if finite:
        return rendering(tuple(Image.fromarray(pixels) for pixels in made), warnings)
    if not order.stack:
        raise ArithmeticError("the base model made pixels that are not finite")
    scales = ", ".join(f"{use.key} at {use.scale:g}" for use in order.stack)
    return AdapterError(Reason.INVALID_WEIGHTS, f"with {scales} the image is not finite; try smaller scales")
