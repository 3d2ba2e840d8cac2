"""What is known of a pod that takes requests, and what a request is to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.serving import Serving
from lorapool_api.rules.usual import OF_SDXL, completed_defaults
from lorapool_api.wire.request import GenerateRequest
from lorapool_api.wire.state import AnyTier, ServingCosts
from lorapool_gateway.cluster.snapshot import RuntimePod

Stack = tuple[str, ...]
# What is known of a pod may be so old; beyond it, it counts as stale.
FRESH_S: Final = 0.1
NO_COSTS: Final = ServingCosts()
_MEGAPIXEL: Final = 1 << 20


@dataclass(frozen=True)
class Work:
    """What a request is, for its costs.

    Attributes:
        adapters: keys of the stack.
        steps: of 2^20 pixels each, over all its images.
        caller: whose it is.
    """

    adapters: Stack = ()
    steps: float = 25.0
    images: int = 1
    caller: str = ""


USUAL_WORK: Final = Work()


@dataclass(frozen=True)
class PodTurns:
    """When a pod, whose queue is fair by caller, would begin with one more request, by whose that is.

    Attributes:
        newcomer_s: seconds, of a caller that has none there.
        callers_s: the same of others.
        newest: callers and seconds of requests that the pod did not know of.
    """

    newcomer_s: float
    callers_s: Mapping[str, float]
    newest: Sequence[tuple[str, float]] = ()

    def wait_s(self, caller: str) -> float:
        """Behind all of its own, and one of each other caller."""
        own_s = sum(seconds for whose, seconds in self.newest if whose == caller)
        others_s = {whose: seconds for whose, seconds in self.newest if whose != caller}
        return self.callers_s.get(caller, self.newcomer_s) + own_s + sum(others_s.values())


@dataclass(frozen=True)
class PodLoad:
    """A pod that takes requests, as far as is known.

    Attributes:
        tiers: the adapters that it can serve, and how near their weights are.
        queue: requests that wait or run in it.
        is_full: it would refuse one more.
        is_suspect: it has failed a moment ago. What fails at once has a short queue, and would draw all requests.
        is_asleep: its base has to come back to the device first.
        wait_s: seconds of work that it has; None: it does not say.
        turns: when it would begin with one more; None: it does not say.
        active: the stack that it works with; None: it does not say.
        age_s: how old this is.
    """

    pod: RuntimePod
    tiers: Mapping[str, AnyTier]
    queue: int
    is_full: bool
    is_suspect: bool = False
    is_asleep: bool = False
    wait_s: float | None = None
    active: Stack | None = None
    costs: ServingCosts = NO_COSTS
    age_s: float = 0.0
    turns: PodTurns | None = None

    @property
    def is_stale(self) -> bool:
        """Whether it may have changed since without a word of it here."""
        return self.age_s > FRESH_S


def work_of(request: GenerateRequest, serving: Serving) -> Work:
    """What the request is, by the pool's defaults where it does not say."""
    steps, width, height = request.steps, request.width, request.height
    if steps is None or not width or not height:
        defaults = completed_defaults(serving, OF_SDXL)
        steps = defaults.steps if steps is None else steps
        width, height = width or defaults.width, height or defaults.height
    pixels = width * height
    of_steps = float(steps * pixels)
    if (hires := request.hires) is not None:
        of_steps += (hires.steps or steps) * hires.strength * pixels * hires.scale**2
    elif request.image is not None and request.strength is not None:
        of_steps *= request.strength
    return Work(tuple(use.key for use in request.adapters), request.images * of_steps / _MEGAPIXEL, request.images)
