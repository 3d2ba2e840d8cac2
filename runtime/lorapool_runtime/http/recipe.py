"""From a request to a complete recipe: the pool's defaults filled in, its limits kept."""

from typing import Final, TypeVar

from lorapool_api.pool import Serving
from lorapool_api.wire import ErrorCode, GenerateRequest
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.errors import RequestError

_UNIT: Final = 8
T = TypeVar("T")


def complete(wanted: GenerateRequest, serving: Serving, random_seed: int) -> Recipe:
    """The recipe of a request. Raises: RequestError (`InvalidRequest`) that names the value and the limit."""
    defaults = serving.defaults
    recipe = Recipe(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        width=_or(wanted.width, defaults.width),
        height=_or(wanted.height, defaults.height),
        steps=_or(wanted.steps, defaults.steps),
        guidance_scale=_or(wanted.guidance_scale, defaults.guidance_scale),
        scheduler=wanted.scheduler or defaults.scheduler,
        seed=_or(wanted.seed, random_seed),
        images=wanted.images,
    )
    _check(recipe, serving)
    return recipe


def _check(recipe: Recipe, serving: Serving) -> None:
    limits = serving.limits
    if not recipe.prompt.strip():
        raise _invalid("prompt must not be empty")
    for name, size in (("width", recipe.width), ("height", recipe.height)):
        if size < _UNIT or size % _UNIT:
            raise _invalid(f"{name} {size} is not a positive multiple of {_UNIT}")
    if recipe.width * recipe.height > limits.pixels:
        raise _invalid(
            f"{recipe.width} x {recipe.height} are {recipe.width * recipe.height} pixels; at most {limits.pixels}"
        )
    if not 1 <= recipe.steps <= limits.steps:
        raise _invalid(f"steps {recipe.steps} is not between 1 and {limits.steps}")
    if recipe.images > limits.images:
        raise _invalid(f"images {recipe.images} is more than {limits.images}")


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _invalid(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message)
