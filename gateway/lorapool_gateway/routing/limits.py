"""What a pool allows a request, checked before the request takes a place in a queue: pure."""

from typing import Final

from lorapool_api.kinds.serving import Serving
from lorapool_api.rules.limits import SIDE_MULTIPLE, Excess, excess, scaled_side
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest

# What clients call the fields of ours.
_PARAMS: Final = {"steps": "num_inference_steps", "images": "n"}


def check(request: GenerateRequest, serving: Serving) -> None:
    """Return where the pool allows all of it.

    A request that begins with a picture may leave the size to it; the pod, which opens the picture, checks that. What
    neither request nor pool says is what suits the base, within the limits: the pod knows it.

    Raises:
        BadRequest: the first thing that the pool does not allow.
    """
    defaults = serving.defaults
    width = _first(request.width, defaults.width, SIDE_MULTIPLE)
    height = _first(request.height, defaults.height, SIDE_MULTIPLE)
    steps = _first(request.steps, defaults.steps, 1)
    found = _excess(request, serving, width, height, steps)
    if found is None and (hires := request.hires):
        width, height = scaled_side(width, hires.scale), scaled_side(height, hires.scale)
        found = _excess(request, serving, width, height, steps if hires.steps is None else hires.steps)
    if found:
        raise BadRequest(found.message, param=_PARAMS.get(found.field, found.field))


def _excess(request: GenerateRequest, serving: Serving, width: int, height: int, steps: int) -> Excess | None:
    return excess(serving.limits, width=width, height=height, steps=steps, images=request.images)


def _first(said: int | None, of_pool: int | None, unknown: int) -> int:
    """`unknown`: what exceeds no limit."""
    if said is not None:
        return said
    return unknown if of_pool is None else of_pool
