"""What the rest of the runtime knows of an engine."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol

from PIL.Image import Image

from lorapool_api.kinds.serving import PromptSyntax, SchedulerName, TimestepSpacing
from lorapool_api.rules.usual import OF_SDXL, UsualRequest
from lorapool_api.wire.state import LimitShortfall
from lorapool_api.wire.weighting.blocks import BlockTable
from lorapool_runtime.adapters.file import Adapter, AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.passes import ControlPicture, Hires, Start
from lorapool_runtime.engine.result import Result

Stop = Callable[[], bool]
Modules = Mapping[str, Mapping[str, tuple[int, ...]]]
# What share of the base's weights is there, from 0 to 1. Called on any thread.
Progress = Callable[[float], None]


def no_progress(share: float) -> None:
    """Progress that nobody wants to hear of."""


@dataclass(frozen=True)
class BaseInfo:
    """A base model that is loaded and warm.

    Attributes:
        stages_s: seconds that each part of it took, in their order.
        shortfall: what of the pool's limits finds no room on the device.
        usual: what a request gets that does not say.
        family: in words.
        blocks: None: the scale of an adapter cannot be said block by block.
    """

    revision: str
    size_bytes: int
    modules: Modules
    stages_s: Mapping[str, float] = field(default_factory=dict)
    shortfall: LimitShortfall | None = None
    usual: UsualRequest = OF_SDXL
    family: str = "this base model"
    blocks: BlockTable | None = None


@dataclass(frozen=True)
class Recipe:
    """One request, complete: defaults are filled in and limits are kept.

    Attributes:
        prompt_syntax: of both prompts, which can be read by it.
        hires: None: one pass.
        scheduler: None where neither request nor pool says: what suits the base.
        timestep_spacing: None: as the base's own sampler has it.
        masks: one for each adapter of the stack, 8-bit grey of the picture's size: it counts where that is white.
            None: everywhere. (): all of them everywhere.
    """

    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance_scale: float
    scheduler: SchedulerName | None
    seed: int
    images: int
    start: Start | None = None
    timestep_spacing: TimestepSpacing | None = None
    prompt_syntax: PromptSyntax = PromptSyntax.PLAIN
    hires: Hires | None = None
    controls: tuple[ControlPicture, ...] = ()
    masks: tuple[Image | None, ...] = ()

    @property
    def shape(self) -> Hashable:
        """What must agree for pictures to be made in one forward; None where there is nothing to agree on."""
        if self.start is not None or self.hires is not None or self.controls or self.masks:
            return None
        return self.width, self.height, self.steps, self.guidance_scale, self.scheduler, self.timestep_spacing

    @property
    def seeds(self) -> tuple[int, ...]:
        """One per image; the first image of a request is that of a request for one image."""
        return tuple((self.seed + i) % 2**63 for i in range(self.images))


# Makes a rough picture of a step, waiting for the device where it must. Any thread but the engine's. None: it cannot.
Preview = Callable[[], Image | None]


@dataclass(frozen=True)
class Step:
    """A step that is done or, where the device works behind the host, launched; of `of` in all, over all images of the
    request."""

    number: int
    of: int
    preview: Preview | None = None


def no_steps(step: Step) -> None:
    """Steps that nobody waits for."""


@dataclass(frozen=True)
class RenderRequest(Generic[Adapter]):
    """Images that somebody waits for. In the queue its adapters are files; the engine gets them in host memory.

    Attributes:
        on_step: called after each step; by the engine on its own thread.
        previews: how many of the steps show what the picture becomes, roughly, spread evenly.
        stop: asked between two steps; true when nobody wants the images any more.
    """

    recipe: Recipe
    stack: tuple[ScaledAdapter[Adapter], ...] = ()
    on_step: Callable[[Step], None] = no_steps
    previews: int = 0
    stop: Stop = lambda: False

    def shows(self, number: int, of: int) -> bool:
        """Whether step `number` of `of`, from 1, shows one of the previews; the last step never does."""
        if self.previews == 0 or number == of:
            return False
        return number * (self.previews + 1) // of > (number - 1) * (self.previews + 1) // of


class WarmEngine(Protocol):
    """One base model, loaded and warm, and what makes images of it.

    `render`, `check`, `merge_loss`, `sleep` and `wake` run on the thread that loaded it; all else may run on any.
    """

    @property
    def info(self) -> BaseInfo: ...

    def read(self, file: AdapterFile) -> HostAdapter:
        """Bring a file that fits the base to host memory. Raises: AdapterError."""

    def batch(self, recipe: Recipe) -> int:
        """How many pictures of that shape are made fastest in one forward; 1 where a batch does not pay."""

    def mixes(self, adapter: HostAdapter) -> bool:
        """Whether a picture with this adapter can be in one forward with pictures that have others."""

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        """Make the images of these requests in one go: they agree in shape, and are one request, or as many pictures
        as `batch` allows. Each request has an outcome of its own, `Stopped` where nobody wanted it to the end,
        `OutOfDeviceMemory` where not even one picture of its size finds room with all else freed. What is unfinished
        outlives what comes next, also `forget` and `check`.

        Args:
            waiting: how many more requests for this stack wait: what a switch costs is shared by all of them.

        Raises:
            AdapterError, RecipeError: none of them can be made.
            DeviceLost: this process can make no image any more, of any request.
        """

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        """Bring these nearer while others are active. Any thread; what fails is left for `render`."""

    def check(self) -> None:
        """Make one small picture with the bare base. Raises: whatever is wrong with it."""

    def merge_loss(self, adapter: HostAdapter, stop: Stop) -> float | None:
        """The share of the adapter's change that rounding would lose if it were merged; None: nothing tells.

        Args:
            stop: asked every few milliseconds: whether somebody waits for a picture.

        Raises:
            Stopped: somebody does.
        """

    def flagged(self, images: Sequence[Image]) -> Sequence[bool]:
        """Which of these the base's own checker takes for unfit to be shown. Any thread but the engine's, which does
        not wait for it. For pools with `serving.safety.pipeline`. Raises: whatever keeps it from looking.
        """

    def sleep(self, stop: Stop) -> None:
        """Give the device's memory back: the base waits in host memory, and no adapter is on the device. Until `wake`
        nothing is rendered, checked or measured, and `prefetch` does nothing.

        Args:
            stop: asked every few milliseconds: whether somebody waits for a picture.

        Raises:
            Stopped: somebody does; CannotSleep: says why. It is awake as before.
        """

    def wake(self) -> None:
        """The base on the device again, bit by bit what it was. Raises: CannotWake: it sleeps on; DeviceLost."""

    @property
    def compiled(self) -> CompileFigures | None:
        """None where the pool asks for no graphs."""

    @property
    def device_bytes(self) -> int:
        """Device memory that adapters take."""

    @property
    def device_evictions(self) -> int:
        """How many adapters have left the device so far because others needed the room."""

    def pin(self, identities: Collection[str]) -> None:
        """From now on these adapters, and no others, are never evicted from the device."""

    def on_device(self) -> frozenset[str]:
        """Identities of the adapters on the device."""

    def forget(self, identity: str) -> None:
        """Free what the engine holds of an adapter, as soon as nothing that runs needs it. Any thread."""


# Loads the base and warms it up, for as long as that takes. Raises: ModelError, DeviceLost.
LoadEngine = Callable[[Progress], WarmEngine]
