"""What work takes in this pod, measured as it is done."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

from lorapool_api.wire.state import ServingCosts, Tier
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.result import Rendering
from lorapool_runtime.queue.entry import Outcome

# A cost is the median of so many last measurements: one that was disturbed does not count.
_LAST: Final = 15
# Adapters whose way to the device is remembered.
_MOST_KEYS: Final = 1024
MEGAPIXEL: Final = 1 << 20


def megapixel_steps(recipe: Recipe) -> float:
    """The denoiser's work for a request, in steps of 2^20 pixels."""
    pixels = recipe.width * recipe.height
    if recipe.hires is not None:
        first = recipe.hires.width * recipe.hires.height * recipe.steps
        steps = first + pixels * max(1.0, recipe.hires.steps * recipe.hires.strength)
    else:
        steps = pixels * recipe.steps * (1.0 if recipe.start is None else recipe.start.strength)
    return recipe.images * steps / MEGAPIXEL


class CostMeter:
    """Lives on the event loop."""

    def __init__(self, evictions: Callable[[], int] = lambda: 0) -> None:
        """`evictions`: of adapters from the device, since the process began."""
        self._evictions = evictions
        self._evicted = 0
        self._step_s: defaultdict[str, deque[float]] = _last_by_name()
        self._switch_s: defaultdict[str, deque[float]] = _last_by_name()
        self._load_s: defaultdict[str, deque[float]] = _last_by_name()
        self._image_s: deque[float] = deque(maxlen=_LAST)
        self._files_s: deque[float] = deque(maxlen=_LAST)
        # Of the last loads: whether the adapter had been on the device before, and how many were driven out.
        self._loads: deque[tuple[bool, int]] = deque(maxlen=_LAST)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._costs = ServingCosts()

    @property
    def costs(self) -> ServingCosts:
        """The same object until something was measured."""
        return self._costs

    def rendered(self, recipe: Recipe, keys: Sequence[str], outcome: Outcome) -> None:
        """A request was made; `keys` are those of its stack."""
        rendering = outcome.rendering
        # A forward of several rows is the work of all of them.
        share = recipe.images / max(recipe.images, rendering.rows)
        applied = rendering.applied.value
        steps_s = max(0.0, rendering.inference_s - rendering.decode_s) * share
        self._step_s[applied].append(steps_s / megapixel_steps(recipe))
        self._image_s.append((rendering.prompt_s + rendering.decode_s) * share / recipe.images)
        if rendering.switch_s > 0:
            self._switch_s[applied].append(rendering.switch_s)
        self._note_loads(keys, rendering)
        if outcome.read_s > 0:
            self._load_s[Tier.DISK].append(outcome.read_s + rendering.load_s)
        self._measured()

    def fetched(self, took_s: float) -> None:
        """A request has waited so long for files that were not on the pod's disk."""
        self._load_s[Tier.REMOTE].append(took_s)
        self._measured()

    def file_fetched(self, took_s: float) -> None:
        """A file has come to the disk from elsewhere, whether a request waits for it or none does."""
        before = self._fetch_s
        self._files_s.append(took_s)
        if self._fetch_s != before:
            self._measured()

    def woke(self, took_s: float) -> None:
        """The base is back on the device."""
        self._costs = self._costs.model_copy(update={"wake_s": took_s})

    @property
    def _fetch_s(self) -> float | None:
        """What requests have waited for files. Before any has: the shortest that a file took, for many come at once and
        share the way, and a guess that is too long is never put right: no request would come here for a fetch.
        """
        if waited_s := self._load_s.get(Tier.REMOTE):
            return median(waited_s)
        return min(self._files_s, default=None)

    def _note_loads(self, keys: Sequence[str], rendering: Rendering) -> None:
        evicted = self._evictions()
        driven_out, self._evicted = evicted - self._evicted, evicted
        for number in range(rendering.loads):
            was_here = all(key in self._seen for key in keys)
            self._loads.append((was_here, driven_out if number == 0 else 0))
        # What was brought ahead took the request no time, and says nothing of the way.
        if rendering.loads and rendering.load_s > 0:
            self._load_s[Tier.HOST].append(rendering.load_s / rendering.loads)
        self._remember(keys)

    def _remember(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > _MOST_KEYS:
            self._seen.popitem(last=False)

    def _measured(self) -> None:
        fetch_s = self._fetch_s
        self._costs = ServingCosts(
            step_s=_medians(self._step_s),
            image_s=median(self._image_s) if self._image_s else None,
            switch_s=_medians(self._switch_s),
            load_s=_medians(self._load_s) | ({} if fetch_s is None else {Tier.REMOTE: fetch_s}),
            evict_s=self._evict_s(),
            wake_s=self._costs.wake_s,
        )

    def _evict_s(self) -> float | None:
        """Adapters driven out by one load, times how often a load is of one that was here, times what a load takes."""
        if not self._loads:
            return None
        driven_out = sum(evicted for _, evicted in self._loads) / len(self._loads)
        returns = sum(was_here for was_here, _ in self._loads) / len(self._loads)
        host_s = self._load_s.get(Tier.HOST)
        return driven_out * returns * median(host_s) if host_s else 0.0


def _last_by_name() -> defaultdict[str, deque[float]]:
    return defaultdict(lambda: deque(maxlen=_LAST))


def _medians(measured: defaultdict[str, deque[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in measured.items()}
