"""From requests to forwards, and from what they made to an outcome for each request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.weighting.scale import scale_text
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Preview, RenderRequest, Step, Stop, no_steps
from lorapool_runtime.engine.diffusers.device.accelerator import Download
from lorapool_runtime.engine.diffusers.render.pictures.previews import LatentPreview, predicted_x0
from lorapool_runtime.engine.diffusers.render.run import Run
from lorapool_runtime.engine.result import Rendering, Unfinished
from lorapool_runtime.errors import AdapterError, Stopped

# From the index of the request, its images and what is to be said of them.
MakeRendering = Callable[[int, tuple[Image.Image, ...], tuple[str, ...]], Rendering]


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
        download: Callable[[torch.Tensor], Download],
        done: int,
        of: int,
        before: torch.Tensor | None,
        latents: torch.Tensor,
        scheduler: Any,
    ) -> None:
        """Tell the requests of a step; their previews are made by whoever looks at them. Raises: Stopped."""
        number, total = self.number * of + done, self.of * of
        shown: torch.Tensor | None = None
        for index, request in enumerate(self.requests):
            if request.on_step is no_steps:
                continue
            preview: Preview | None = None
            if request.shows(number, total):
                shown = predicted_x0(before, latents, scheduler) if shown is None else shown
                row = next((r for r, (i, _) in enumerate(self.rows) if i == index), 0)
                size = (request.recipe.width, request.recipe.height)
                preview = _preview(latent_preview, download(shown[row]), size)
            request.on_step(Step(number, total, preview))
        self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raises: Stopped when nobody wants any of the pictures any more."""
        if all(request.stop() for request in self.requests):
            raise Stopped


def batches_of(requests: Sequence[RenderRequest[HostAdapter]], most: int | None) -> list[ForwardBatch]:
    """The pictures of each forward, so many at most; None: all in one."""
    rows = [(i, seed) for i, request in enumerate(requests) for seed in request.recipe.seeds]
    most = most or len(rows)
    chunks = [rows[i : i + most] for i in range(0, len(rows), most)]
    return [ForwardBatch(requests, tuple(chunk), i, len(chunks)) for i, chunk in enumerate(chunks)]


def _preview(latent_preview: LatentPreview, copied: Download, size: tuple[int, int]) -> Preview:
    return lambda: latent_preview.decode(copied(), size)


def unfinished(
    requests: Sequence[RenderRequest[HostAdapter]],
    batches: Sequence[ForwardBatch],
    runs: Sequence[Run],
    rendering: MakeRendering,
) -> list[Unfinished]:
    """What each request gets, once somebody waits for it: it holds pictures by then, and no weights of adapters."""
    made = [(batch.rows, run) for batch, run in zip(batches, runs, strict=True)]
    ends = [
        (request.stop, ", ".join(f"{s.key} at {scale_text(s.scale)}" for s in request.stack)) for request in requests
    ]
    return [Unfinished(partial(_finish, i, stop, scales, made, rendering)) for i, (stop, scales) in enumerate(ends)]


def _finish(
    index: int,
    stop: Stop,
    scales: str,
    runs: Sequence[tuple[Sequence[tuple[int, int]], Run]],
    rendering: MakeRendering,
) -> Rendering:
    """A forward that ran into infinity is an error, not a black square. Raises: Stopped, AdapterError.

    Args:
        scales: the request's adapters in words; empty: it has none.
        runs: each with its rows: (index of the request, seed).
    """
    if stop():
        raise Stopped
    pixels: list[NDArray[np.uint8]] = []
    finite = True
    for rows, run in runs:
        made = run.pictures()
        for (owner, _), picture, is_finite in zip(rows, made.pixels, made.finite, strict=True):
            if owner == index:
                pixels.append(picture)
                finite &= is_finite
    if finite:
        warnings = tuple(dict.fromkeys(said for _, run in runs for said in run.warnings))
        return rendering(index, tuple(Image.fromarray(picture) for picture in pixels), warnings)
    if not scales:
        raise ArithmeticError("the base model made pixels that are not finite")
    raise AdapterError(Reason.INVALID_WEIGHTS, f"with {scales} the image is not finite; try smaller scales")
