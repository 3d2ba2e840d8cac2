"""What the rest of the runtime knows of an engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL.Image import Image

from lorapool_api.pool import SchedulerName
from lorapool_runtime.store.files import AdapterFile, HostAdapter

Stop = Callable[[], bool]
Modules = Mapping[str, Mapping[str, tuple[int, ...]]]
# What share of the base's weights is there, from 0 to 1. Called on any thread.
Progress = Callable[[float], None]


def untold(share: float) -> None:
    """Progress that nobody wants to hear of."""


@dataclass(frozen=True)
class BaseInfo:
    """A base model that is loaded and warm.

    Attributes:
        stages_s: seconds that each part of it took, in their order.
    """

    revision: str
    size_bytes: int
    modules: Modules
    stages_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Use:
    """An adapter of a stack with the strength of this request."""

    key: str
    adapter: HostAdapter
    scale: float


@dataclass(frozen=True)
class Recipe:
    """One request, complete: defaults are filled in and limits are kept."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance_scale: float
    scheduler: SchedulerName
    seed: int
    images: int

    @property
    def seeds(self) -> tuple[int, ...]:
        """One per image; the first image of a request is that of a request for one image."""
        return tuple((self.seed + i) % 2**63 for i in range(self.images))


@dataclass(frozen=True)
class Rendering:
    """The images of a request, and how long the engine took for each part, in seconds."""

    images: tuple[Image, ...]
    load_s: float
    switch_s: float
    inference_s: float
    warnings: tuple[str, ...] = ()


class Engine(Protocol):
    """One base model and what makes images of it.

    `load` and `render` run on one and the same thread; `read` and `on_device` may run on any, after `load`.
    """

    def load(self, progress: Progress = untold) -> BaseInfo:
        """Load the base and warm it up. Raises: ModelError."""

    def read(self, file: AdapterFile) -> HostAdapter:
        """Bring a file to host memory, every key of it consumed. Raises: AdapterError."""

    def render(self, recipe: Recipe, stack: Sequence[Use], stop: Stop, waiting: int = 0) -> Rendering:
        """Make the images.

        Args:
            waiting: how many more requests for this stack wait: what a switch costs is shared by all of them.

        Raises:
            AdapterError, RecipeError: cannot be made.
            Stopped: soon after `stop()` says so.
        """

    def on_device(self) -> frozenset[str]:
        """Identities of the adapters on the device."""

    def forget(self, identity: str) -> None:
        """Free what the engine holds of an adapter, as soon as nothing that runs needs it. Any thread."""
