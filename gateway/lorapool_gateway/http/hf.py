"""Requests as clients of Hugging Face inference send them: raw text or `{"inputs", "parameters"}`: pure."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lorapool_api.serving import TimestepSpacing
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.accept import preferred_format
from lorapool_gateway.http.fields import (
    generate_request,
    json_object,
    loras_in_json,
    loras_in_text,
    scheduler,
    sentence,
    unused,
)
from lorapool_gateway.resolve import Lora

# Fields of the body beside `parameters` that say how the Hub should serve, not what.
_EXPECTED = frozenset({"inputs", "parameters", "options", "model"})


class Parameters(BaseModel):
    """`parameters` of a text-to-image request."""

    model_config = ConfigDict(extra="allow")

    negative_prompt: str | None = None
    height: int | None = None
    width: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    timestep_spacing: TimestepSpacing | None = None
    seed: int | None = None
    lora: Any = None
    loras: Any = None


@dataclass(frozen=True)
class HfRequest:
    """A request for one image; `loras` is None where neither header nor body says anything of adapters."""

    generate: GenerateRequest
    loras: tuple[Lora, ...]
    warnings: tuple[str, ...] = ()


def parse(body: bytes, content_type: str, accept: str | None, lora_header: str | None) -> HfRequest:
    """Read a text-to-image request; what the body says of adapters goes before the header, which a client may fix.

    Raises:
        BadRequest
    """
    prompt, parameters, warnings = _contents(body, content_type.partition(";")[0].strip().lower())
    generate = generate_request(
        prompt=prompt,
        negative_prompt=parameters.negative_prompt or "",
        width=parameters.width,
        height=parameters.height,
        steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        scheduler=scheduler(parameters.scheduler),
        timestep_spacing=parameters.timestep_spacing,
        seed=parameters.seed,
        format=preferred_format(accept),
    )
    return HfRequest(generate, _loras(parameters, lora_header), warnings + unused(parameters.model_extra or ()))


def _contents(body: bytes, media_type: str) -> tuple[str, Parameters, tuple[str, ...]]:
    """Prompt, parameters and warnings. curl calls JSON a form unless told otherwise, so the first byte tells."""
    if media_type.startswith(("image/", "multipart/")):
        raise BadRequest("images as input are not served: send a prompt as text or JSON")
    is_json = media_type == "application/json" or (media_type != "text/plain" and body.lstrip().startswith(b"{"))
    if not is_json:
        return _text(body), Parameters(), ()
    message = json_object(body)
    prompt = message.get("inputs")
    if not isinstance(prompt, str):
        raise BadRequest("inputs must be the prompt, as a text", param="inputs")
    return prompt, _parameters(message.get("parameters")), unused(name for name in message if name not in _EXPECTED)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body is neither JSON nor text in UTF-8") from None


def _parameters(value: Any) -> Parameters:
    try:
        return Parameters.model_validate(value if value is not None else {})
    except ValidationError as problem:
        raise sentence(problem, within="parameters") from None


def _loras(parameters: Parameters, header: str | None) -> tuple[Lora, ...]:
    said = [value for value in (parameters.loras, parameters.lora) if value is not None]
    if len(said) > 1:
        raise BadRequest("parameters.lora and parameters.loras are both set: use one", param="loras")
    return loras_in_json(said[0]) if said else loras_in_text(header or "")
