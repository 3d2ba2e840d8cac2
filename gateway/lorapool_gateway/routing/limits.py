"""What a pool allows a request, checked before the request takes a place in a queue: pure."""

from typing import Final

from lorapool_api.kinds.serving import Serving
from lorapool_api.rules.limits import excess
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest

# What clients call the fields of ours.
_PARAMS: Final = {"steps": "num_inference_steps", "images": "n"}


def check(request: GenerateRequest, serving: Serving) -> None:
    """Return where the pool allows all of it.

    A request that begins with a picture may leave the size to it; the pod, which opens the picture, checks that.

    Raises:
        BadRequest: the first thing that the pool does not allow.
    """
    defaults = serving.defaults
    found = excess(
        serving.limits,
        width=defaults.width if request.width is None else request.width,
        height=defaults.height if request.height is None else request.height,
        steps=defaults.steps if request.steps is None else request.steps,
        images=request.images,
    )
    if found:
        raise BadRequest(found.message, param=_PARAMS.get(found.field, found.field))
