"""A request where the device is full: once more with all freed that can be had again, then picture by picture."""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Recipe, RenderRequest
from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.device.faults import is_full
from lorapool_runtime.engine.result import Result
from lorapool_runtime.errors import OutOfDeviceMemory, RuntimeFailure

log = structlog.get_logger(__name__)


class Render(Protocol):
    """Makes these requests, so many pictures at most in one forward; None: as many as the engine would."""

    def __call__(
        self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int, rows: int | None
    ) -> Sequence[Result]: ...


class MemoryRetries:
    """Renders again, with less at once, where the device is full. For the engine's thread."""

    def __init__(self, render: Render, free: Callable[[], None], batch: Callable[[Recipe], int]) -> None:
        """`free` gives back what can be had again; `batch` says how many pictures share a forward."""
        self._render = render
        self._free = free
        self._batch = batch

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int) -> Sequence[Result]:
        """What becomes of each request; `OutOfDeviceMemory` where not one picture of its size finds room."""
        made = self._unless_full(requests, waiting)
        if made is None:
            self._free()
            made = self._unless_full(requests, waiting)
        if made is not None:
            return made
        self._free()
        if len(requests) > 1:
            return [result for request in requests for result in self._alone(request)]
        recipe = requests[0].recipe
        return self._alone(requests[0], tried=min(recipe.images, self._batch(recipe)) == 1)

    def _alone(self, request: RenderRequest[HostAdapter], *, tried: bool = False) -> Sequence[Result]:
        """One request, one picture after the other; `tried`: that was done already, and found no room."""
        made: Sequence[Result] | None = None
        try:
            made = None if tried else self._unless_full([request], 0, rows=1)
        except RuntimeFailure as error:
            return [error]
        if made is not None:
            return made
        self._free()
        size = f"{request.recipe.width} x {request.recipe.height} pixels"
        return [OutOfDeviceMemory(f"the device has no room for one picture of {size}; ask for fewer pixels")]

    def _unless_full(
        self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int, rows: int | None = None
    ) -> Sequence[Result] | None:
        """None where the device is full: what failed has let go of its tensors then."""
        try:
            return self._render(requests, waiting, rows)
        except RuntimeError as error:
            if not is_full(error):
                raise
            log.warning("the device is full", pictures=sum(o.recipe.images for o in requests), error=first_line(error))
        return None
