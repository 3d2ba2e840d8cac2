"""Fields that both dialects have: JSON bodies, names, seeds, and one sentence for what is wrong: pure."""

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from lorapool_api.wire.request import GenerateRequest
from lorapool_common.validation import first_error
from lorapool_gateway.errors import BadRequest

MAX_NAME_CHARACTERS: Final = 320
MAX_WARNINGS: Final = 16
RANDOM_SEED: Final = -1


def json_object(body: bytes) -> dict[str, Any]:
    """The object that the body holds, its nesting bounded, without NaN and half surrogates. Raises: BadRequest."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def sentence(error: ValidationError, *within: str) -> BadRequest:
    """The first thing that is wrong, as one sentence."""
    place, first = first_error(error, *within)
    given = first["input"]
    shown = repr(given[:100] if isinstance(given, str) else given)
    got = "" if first["type"] == "missing" else f" (got {short(shown)})"
    return BadRequest(f"{short(place)}: {first['msg']}{got}", param=short(place))


def short(text: str, limit: int = 80) -> str:
    """The text, cut where it is too long to repeat to the caller."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def model_name(name: str) -> str:
    """The name, short enough to be repeated in an answer. Raises: BadRequest, where no model could have it."""
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadRequest(f"the name of a model has at most {MAX_NAME_CHARACTERS} characters", param="model")
    return name


def chosen_seed(seed: int | None) -> int | None:
    """The seed; None, which the pod chooses at random, for the -1 that tools around Stable Diffusion send for it."""
    return None if seed == RANDOM_SEED else seed


def generate_request(**fields: Any) -> GenerateRequest:
    """The request to a pod. Raises: BadRequest, with what breaks its bounds in one sentence."""
    if not fields["prompt"].strip() and fields.get("image") is None:
        raise BadRequest("the prompt is empty: say what the image shall show", param="prompt")
    try:
        return GenerateRequest(**fields)
    except ValidationError as error:
        raise sentence(error) from None
