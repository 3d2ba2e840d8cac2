"""What a pool allows a request, checked before the request takes a place in a queue: pure."""

from lorapool_api.serving import Serving
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest

MULTIPLE = 8  # an SDXL latent has an eighth of the image's sides


def check(request: GenerateRequest, serving: Serving) -> None:
    """Raise `BadRequest` for the first thing that the pool does not allow."""
    limits, defaults = serving.limits, serving.defaults
    _check_side("width", request.width)
    _check_side("height", request.height)
    width, height = request.width or defaults.width, request.height or defaults.height
    if width * height > limits.pixels:
        size = f"{width}x{height} has {width * height} pixels"
        raise BadRequest(f"{size}, this pool makes at most {limits.pixels}", param="size")
    if request.steps is not None and not 1 <= request.steps <= limits.steps:
        raise BadRequest(f"steps must be 1 to {limits.steps}, not {request.steps}", param="num_inference_steps")
    if request.images > limits.images:
        raise BadRequest(f"at most {limits.images} images a request, not {request.images}", param="n")


def _check_side(name: str, pixels: int | None) -> None:
    if pixels is not None and (pixels < MULTIPLE or pixels % MULTIPLE):
        raise BadRequest(f"{name} must be a multiple of {MULTIPLE}, not {pixels}", param=name)
