"""Requests as clients of OpenAI's images API send them, and the replies that they expect: pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorapool_api.kinds.serving import PromptSyntax, TimestepSpacing
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import HiresPass, ImageFormat
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import loras
from lorapool_gateway.http.fields.controls import controls
from lorapool_gateway.http.fields.documented import Controls, Loras
from lorapool_gateway.http.fields.fields import chosen_seed, generate_request, json_object, model_name, sentence
from lorapool_gateway.http.fields.json_images import JsonWithImages
from lorapool_gateway.http.fields.schedulers import scheduler
from lorapool_gateway.pods.images import Image
from lorapool_gateway.routing.request import ImageRequest

# The pool's limit comes after it; a number that no float holds could not be counted.
_MOST_IMAGES: Final = 1_000
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class Body(BaseModel):
    """The fields of OpenAI that mean something here, and ours, which `extra_body` of its client adds."""

    model_config = ConfigDict(extra="allow")

    prompt: str
    model: str | None = None
    n: int | None = Field(default=None, ge=1, le=_MOST_IMAGES)
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    stream: bool | None = None
    partial_images: int | None = Field(default=None, ge=0, le=3)

    negative_prompt: str | None = None
    prompt_syntax: PromptSyntax | None = None
    steps: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    timestep_spacing: TimestepSpacing | None = None
    seed: int | None = None
    hires: HiresPass | None = None
    metadata: bool | None = Field(default=None, description="Whether the files hold the recipe, as text.")
    content_credentials: bool | None = Field(default=None, description="Whether the images are signed (C2PA).")
    controls: Controls = None
    loras: Loras = None
    lora: Loras = None


Fields = TypeVar("Fields", bound=Body)


@dataclass(frozen=True)
class OpenAIRequest(ImageRequest):
    """A request for one or more images.

    Attributes:
        as_url: each by its address.
        stream: the client wants events while they are made.
    """

    as_url: bool = False
    stream: bool = False


def parse(body: bytes, lora_header: str = "") -> OpenAIRequest:
    """Read a request; what the body says of adapters goes before the header. Raises: BadRequest."""
    return request(fields_of(json_object(body), Body), lora_header)


def fields_of(said: Mapping[str, Any], kind: type[Fields]) -> Fields:
    """What a body says. Raises: BadRequest."""
    try:
        fields = kind.model_validate(said)
    except ValidationError as error:
        raise sentence(error) from None
    return fields


def request(fields: Body, lora_header: str, **picture: Any) -> OpenAIRequest:
    """The request that the fields stand for; `picture`: what it begins with. Raises: BadRequest."""
    width, height = _size(fields.size)
    steps = fields.num_inference_steps if fields.num_inference_steps is not None else fields.steps
    prompt, prompt_loras = loras.taken_from(fields.prompt, steps)
    named, set_aside = loras.chosen({"lora": fields.lora, "loras": fields.loras}, lora_header)
    generate = generate_request(
        prompt=prompt,
        negative_prompt=loras.untagged(fields.negative_prompt),
        prompt_syntax=fields.prompt_syntax,
        width=width,
        height=height,
        steps=steps,
        guidance_scale=fields.guidance_scale,
        scheduler=scheduler(fields.scheduler),
        timestep_spacing=fields.timestep_spacing,
        seed=chosen_seed(fields.seed),
        hires=fields.hires,
        metadata=fields.metadata,
        controls=controls(fields.controls),
        images=1 if fields.n is None else fields.n,
        format=ImageFormat(fields.output_format or ImageFormat.PNG),
        previews=(fields.partial_images or 0) if fields.stream else 0,
        **picture,
    )
    return OpenAIRequest(
        model=model_name(fields.model) if fields.model else None,
        loras=named,
        prompt_loras=prompt_loras,
        generate=generate,
        as_url=fields.response_format == "url",
        stream=bool(fields.stream),
        warnings=(*set_aside, *loras.unused(fields.model_extra or {})),
        content_credentials=fields.content_credentials,
    )


def _size(size: str | None) -> tuple[int | None, int | None]:
    if size is None or size == "auto":
        return None, None
    match = _SIZE.fullmatch(size)
    if match is None:
        raise BadRequest("size must be WIDTHxHEIGHT in pixels, for example 1024x1024, or auto", param="size")
    return int(match[1]), int(match[2])


def message(
    reply: GenerateReply,
    images: Sequence[Image],
    *,
    created: int,
    as_url: bool,
    addresses: Sequence[str] | None = None,
) -> JsonWithImages:
    """The reply of `images/generations`; as a `url` each is at its address, or, without addresses, in a `data:` one."""
    if as_url and addresses is not None:
        return _by_address(reply, addresses, created)
    before = f'{{"url":"data:{reply.format.media_type};base64,' if as_url else '{"b64_json":"'
    parts: list[bytes | Image] = []
    text = f'{{"created":{created},"data":['
    for made, image in zip(reply.images, images, strict=True):
        parts += [f"{text}{before}".encode(), image]
        text = f'","seed":{made.seed}}},'
    rest = json.dumps(_about(reply))
    parts.append(f"{text.removesuffix(',')}],{rest[1:]}".encode())
    return JsonWithImages(tuple(parts))


def _by_address(reply: GenerateReply, addresses: Sequence[str], created: int) -> JsonWithImages:
    data = [{"url": url, "seed": made.seed} for url, made in zip(addresses, reply.images, strict=True)]
    return JsonWithImages((json.dumps({"created": created, "data": data, **_about(reply)}).encode(),))


def _about(reply: GenerateReply) -> dict[str, Any]:
    return {"output_format": reply.format.value, "size": f"{reply.width}x{reply.height}", "usage": usage(reply)}


def usage(reply: GenerateReply) -> dict[str, Any]:
    """OpenAI counts tokens, of which there are none here; ours beside them: images, and seconds of the device."""
    spent = reply.timings
    details = {"image_tokens": 0, "text_tokens": 0}
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": details,
        "output_tokens_details": details,
        "images": len(reply.images),
        "device_seconds": round(spent.load_s + spent.switch_s + spent.prompt_s + spent.inference_s, 3),
    }
