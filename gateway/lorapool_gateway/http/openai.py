"""Requests as clients of OpenAI's `images/generations` send them, and the replies that they expect: pure."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lorapool_api.serving import TimestepSpacing
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import generate_request, json_object, loras_in_json, scheduler, sentence, unused
from lorapool_gateway.resolve import Lora

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class Body(BaseModel):
    """The fields of OpenAI that mean something here, and ours, which `extra_body` of its client adds."""

    model_config = ConfigDict(extra="allow")

    prompt: str
    model: str | None = None
    n: int | None = None
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    stream: bool | None = None

    negative_prompt: str | None = None
    steps: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    timestep_spacing: TimestepSpacing | None = None
    seed: int | None = None
    loras: Any = None
    lora: Any = None


@dataclass(frozen=True)
class OpenAIRequest:
    """A request for one or more images."""

    model: str | None
    loras: tuple[Lora, ...]
    generate: GenerateRequest
    as_url: bool
    warnings: tuple[str, ...] = ()


def parse(body: bytes) -> OpenAIRequest:
    """Read a request; raises `BadRequest`."""
    try:
        fields = Body.model_validate(json_object(body))
    except ValidationError as problem:
        raise sentence(problem) from None
    if fields.stream:
        raise BadRequest("stream is not served yet: leave it out", param="stream")
    width, height = _size(fields.size)
    generate = generate_request(
        prompt=fields.prompt,
        negative_prompt=fields.negative_prompt or "",
        width=width,
        height=height,
        steps=fields.num_inference_steps if fields.num_inference_steps is not None else fields.steps,
        guidance_scale=fields.guidance_scale,
        scheduler=scheduler(fields.scheduler),
        timestep_spacing=fields.timestep_spacing,
        seed=fields.seed,
        images=1 if fields.n is None else fields.n,
        format=ImageFormat(fields.output_format or ImageFormat.PNG),
    )
    return OpenAIRequest(
        model=fields.model,
        loras=_loras(fields),
        generate=generate,
        as_url=fields.response_format == "url",
        warnings=unused(fields.model_extra or ()),
    )


def _size(size: str | None) -> tuple[int | None, int | None]:
    if size is None or size == "auto":
        return None, None
    match = _SIZE.fullmatch(size)
    if match is None:
        raise BadRequest("size must be WIDTHxHEIGHT in pixels, for example 1024x1024, or auto", param="size")
    return int(match[1]), int(match[2])


def _loras(fields: Body) -> tuple[Lora, ...]:
    said = [value for value in (fields.loras, fields.lora) if value is not None]
    if len(said) > 1:
        raise BadRequest("lora and loras are both set: use one", param="loras")
    return loras_in_json(said[0]) if said else ()


def images(reply: GenerateReply, *, created: int, as_url: bool) -> dict[str, Any]:
    """The reply of `images/generations`. Nothing is stored here, so a `url` holds the image itself."""
    prefix = f"data:{reply.format.media_type};base64,"
    data = [
        {"url" if as_url else "b64_json": f"{prefix if as_url else ''}{image.data}", "seed": image.seed}
        for image in reply.images
    ]
    return {
        "created": created,
        "data": data,
        "output_format": reply.format.value,
        "size": f"{reply.width}x{reply.height}",
    }
