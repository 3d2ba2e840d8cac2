"""From requests to forwards, and from what they made to an outcome for each request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Rendering, RenderRequest, Result, Step, no_steps
from lorapool_runtime.engine.diffusers.render.previews import LatentPreview, predicted_x0
from lorapool_runtime.engine.diffusers.render.run import Run
from lorapool_runtime.errors import AdapterError, Stopped

MakeRendering = Callable[[tuple[Image.Image, ...], tuple[str, ...]], Rendering]


@dataclass(frozen=True)
class ForwardBatch:
    """The pictures that are made together.

    Attributes:
        requests: all that are rendered now.
        rows: (index of the request, seed) of each picture.
        number, of: which batch it is, from 0, and of how many.
    """

    requests: Sequence[RenderRequest[HostAdapter]]
    rows: tuple[tuple[int, int], ...]
    number: int
    of: int

    def watch(
        self,
        latent_preview: LatentPreview,
        done: int,
        of: int,
        before: torch.Tensor | None,
        latents: torch.Tensor,
        scheduler: Any,
    ) -> None:
        """Tell the requests of a step. Raises: Stopped."""
        number, total = self.number * of + done, self.of * of
        shown: torch.Tensor | None = None
        for index, request in enumerate(self.requests):
            if request.on_step is no_steps:
                continue
            preview = None
            if request.shows(number, total):
                shown = predicted_x0(before, latents, scheduler) if shown is None else shown
                row = next((r for r, (i, _) in enumerate(self.rows) if i == index), 0)
                preview = latent_preview.decode(shown[row], (request.recipe.width, request.recipe.height))
            request.on_step(Step(number, total, preview))
        self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raises: Stopped when nobody wants any of the pictures any more."""
        if all(request.stop() for request in self.requests):
            raise Stopped


def finished(
    requests: Sequence[RenderRequest[HostAdapter]],
    batches: Sequence[ForwardBatch],
    runs: Sequence[Run],
    rendering: MakeRendering,
) -> list[Result]:
    """What each request gets."""
    pixels: list[list[NDArray[np.uint8]]] = [[] for _ in requests]
    finite = [True] * len(requests)
    warnings = tuple(dict.fromkeys(run.warning for run in runs if run.warning))
    for batch, run in zip(batches, runs, strict=True):
        for (index, _), picture, is_finite in zip(batch.rows, run.pixels, run.finite, strict=True):
            pixels[index].append(picture)
            finite[index] &= is_finite
    rows = zip(requests, pixels, finite, strict=True)
    return [_result(request, made, warnings, rendering, finite=good) for request, made, good in rows]


def _result(
    request: RenderRequest[HostAdapter],
    made: Sequence[NDArray[np.uint8]],
    warnings: tuple[str, ...],
    rendering: MakeRendering,
    *,
    finite: bool,
) -> Result:
    """A forward that ran into infinity is an error, not a black square."""
    if request.stop():
        return Stopped()
    if finite:
        return rendering(tuple(Image.fromarray(pixels) for pixels in made), warnings)
    if not request.stack:
        raise ArithmeticError("the base model made pixels that are not finite")
    scales = ", ".join(f"{scaled.key} at {scaled.scale:g}" for scaled in request.stack)
    return AdapterError(Reason.INVALID_WEIGHTS, f"with {scales} the image is not finite; try smaller scales")
