"""Requests that somebody watches who is not their client."""

from dataclasses import replace
from typing import Final, Protocol

from lorapool_api.wire.reply import StepReport
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.routing.request import ResolvedRequest

# Of the request's state, where one is.
WATCHER: Final = "watcher"


class RequestWatcher(Protocol):
    """Is told what becomes of a request."""

    @property
    def previews(self) -> int:
        """How many steps shall show something, where the request itself wants fewer."""

    def resolved(self, pool: str) -> None: ...

    def step(self, step: StepReport) -> None: ...


def watched(
    watcher: RequestWatcher | None, request: ResolvedRequest, on_step: OnStep | None
) -> tuple[ResolvedRequest, OnStep | None]:
    """The request and who is told its steps, with the watcher among them."""
    if watcher is None:
        return request, on_step
    watcher.resolved(request.pool)

    def both(step: StepReport) -> None:
        watcher.step(step)
        if on_step is not None:
            on_step(step)

    previews = max(watcher.previews, request.generate.previews)
    return replace(request, generate=request.generate.model_copy(update={"previews": previews})), both
