"""What the queue asks of an engine."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Recipe, RenderRequest, Result, Stop


class Renderer(Protocol):
    """See `engine.contract.WarmEngine`."""

    def batch(self, recipe: Recipe) -> int: ...
    def mixes(self, adapter: HostAdapter) -> bool: ...
    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]: ...
    def prefetch(self, adapters: Sequence[HostAdapter]) -> None: ...
    def check(self) -> None: ...
    def merge_loss(self, adapter: HostAdapter, stop: Stop) -> float | None: ...


# Gives the engine: it is warm whenever a request waits.
GetRenderer = Callable[[], Renderer]
