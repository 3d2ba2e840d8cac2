"""Fields that both dialects have: JSON bodies, adapters, schedulers, and one sentence for what is wrong: pure."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from lorapool_api.serving import SchedulerName
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.resolve import Lora

MAX_NAME_CHARACTERS = 320
MAX_SCALE = 10.0
MAX_WARNINGS = 16

# Classes of diffusers, which clients of the Hugging Face API send.
_DIFFUSERS = {
    "EulerAncestralDiscreteScheduler": SchedulerName.EULER_A,
    "EulerDiscreteScheduler": SchedulerName.EULER,
    "DDIMScheduler": SchedulerName.DDIM,
    "DPMSolverMultistepScheduler": SchedulerName.DPMPP_2M,
    "HeunDiscreteScheduler": SchedulerName.HEUN,
    "LCMScheduler": SchedulerName.LCM,
    "PNDMScheduler": SchedulerName.PNDM,
    "TCDScheduler": SchedulerName.TCD,
    "UniPCMultistepScheduler": SchedulerName.UNIPC,
}
_SCHEDULERS = {name.value: name for name in SchedulerName} | {k.lower(): v for k, v in _DIFFUSERS.items()}


def json_object(body: bytes) -> dict[str, Any]:
    """The object that the body holds. The parser bounds nesting, and refuses NaN and half surrogates."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as problem:
        raise BadRequest(f"the body is not valid JSON: {problem}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def sentence(problem: ValidationError, within: str = "") -> BadRequest:
    """The first thing that is wrong, as one sentence."""
    error = problem.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in ((within,) if within else ()) + error["loc"])
    got = "" if error["type"] == "missing" else f" (got {short(repr(error['input']))})"
    return BadRequest(f"{short(place)}: {error['msg']}{got}", param=short(place))


def short(text: str, limit: int = 80) -> str:
    """The text, cut where it is too long to repeat to the caller."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def scheduler(name: str | None) -> SchedulerName | None:
    """A scheduler by our name or by its class in diffusers."""
    if name is None:
        return None
    found = _SCHEDULERS.get(name.strip().lower().replace("_", "-"))
    if found is None:
        known = ", ".join(s.value for s in SchedulerName)
        raise BadRequest(f"no scheduler is called {short(name)!r}; there are {known}", param="scheduler")
    return found


def loras_in_text(text: str) -> tuple[Lora, ...]:
    """Adapters as a header names them: `name`, or several with scales: `a:0.8, b:0.5`. Empty: the bare base."""
    return tuple(_lora_in_word(word.strip()) for word in text.split(",") if word.strip())


def _lora_in_word(word: str) -> Lora:
    name, colon, scale = word.rpartition(":")
    return Lora(_name(name), _scale(scale)) if colon else Lora(_name(word))


def loras_in_json(value: Any) -> tuple[Lora, ...]:
    """Adapters as JSON: a string as in the header, or a list of strings and `{"name" | "path", "scale"}`."""
    if isinstance(value, str):
        return loras_in_text(value)
    if not isinstance(value, list):
        raise BadRequest("loras must be a list of names or of objects with name and scale", param="loras")
    return tuple(_lora_in_item(item) for item in value)


def _lora_in_item(item: Any) -> Lora:
    if isinstance(item, str):
        return _lora_in_word(item.strip())
    if not isinstance(item, Mapping):
        raise BadRequest(f"an item of loras must be a name or an object, not {short(repr(item))}", param="loras")
    named = [item[key] for key in ("name", "path") if item.get(key) is not None]
    if len(named) != 1:
        raise BadRequest("an item of loras must have exactly one of name and path", param="loras")
    return Lora(_name(named[0]), _scale(item.get("scale")))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadRequest("the name of an adapter must be a text that is not empty", param="loras")
    return model_name(value.strip())


def model_name(name: str) -> str:
    """The name, refused where no model could have it, so that it can be repeated in an answer."""
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadRequest(f"the name of a model has at most {MAX_NAME_CHARACTERS} characters", param="model")
    return name


def _scale(value: Any) -> float | None:
    if value is None:
        return None
    try:
        scale = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        scale = math.nan
    if not -MAX_SCALE <= scale <= MAX_SCALE:  # not a number compares as neither
        limits = f"{-MAX_SCALE:g} to {MAX_SCALE:g}"
        raise BadRequest(f"the scale of an adapter must be {limits}, not {short(str(value))!r}", param="loras")
    return scale


def generate_request(**fields: Any) -> GenerateRequest:
    """The request to a pod, with what breaks its bounds said in one sentence."""
    if not fields["prompt"].strip():
        raise BadRequest("the prompt is empty: say what the image shall show", param="prompt")
    try:
        return GenerateRequest(**fields)
    except ValidationError as problem:
        raise sentence(problem) from None


def unused(names: Iterable[str]) -> tuple[str, ...]:
    """Warnings about fields that have no effect here."""
    return tuple(f"{short(name)!r} has no effect here" for name in names)[:MAX_WARNINGS]
