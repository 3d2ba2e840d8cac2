"""Requests as clients of Hugging Face inference send them: a prompt or a picture, raw or in JSON: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorapool_api.kinds.serving import PromptSyntax, TimestepSpacing
from lorapool_api.wire.request import HiresPass
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import loras, pictures
from lorapool_gateway.http.fields.accept import preferred_format
from lorapool_gateway.http.fields.controls import controls
from lorapool_gateway.http.fields.documented import Controls, Loras, ModelName, Picture
from lorapool_gateway.http.fields.fields import chosen_seed, generate_request, json_object, model_name, sentence
from lorapool_gateway.http.fields.schedulers import scheduler
from lorapool_gateway.routing.request import ImageRequest

# Fields of the body beside `parameters`; `options` say how the Hub should serve, not what.
_EXPECTED: Final = frozenset({"inputs", "parameters", "options"})
# Fields that clients put beside `parameters` or into it.
_EITHER: Final = ("image", "mask_image", "mask", "model", "lora", "loras")


class TargetSize(BaseModel):
    """The size of the result of image-to-image."""

    width: int
    height: int


class Parameters(BaseModel):
    """`parameters` of a request."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = None
    negative_prompt: str | None = None
    prompt_syntax: PromptSyntax | None = None
    height: int | None = None
    width: int | None = None
    target_size: TargetSize | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    timestep_spacing: TimestepSpacing | None = None
    seed: int | None = None
    hires: HiresPass | None = None
    metadata: bool | None = Field(default=None, description="Whether the file holds the recipe, as text.")
    content_credentials: bool | None = Field(default=None, description="Whether the image is signed (C2PA).")
    controls: Controls = None
    strength: float | None = None
    image: Picture = None
    mask_image: Picture = None
    mask: Picture = None
    model: ModelName = None
    lora: Loras = None
    loras: Loras = None


@dataclass(frozen=True)
class Sent:
    """What is around the body: its type, what the client accepts, the path's model, adapters' headers, the query."""

    content_type: str = ""
    accept: str | None = None
    model: str | None = None
    lora: str = ""
    query: Sequence[tuple[str, str]] = ()


def parse(body: bytes, sent: Sent) -> ImageRequest:
    """Read a request; what the body says of adapters goes before the header, which a client may fix.

    Raises:
        BadRequest
    """
    message = _message(body, sent.content_type.partition(";")[0].strip().lower())
    parameters = _parameters({**dict(sent.query), **_flat(message.get("parameters"))})
    either = {name: getattr(parameters, name) for name in _EITHER}
    either |= {name: _one(name, message[name], either[name]) for name in _EITHER if name in message}
    prompt, image = _subject(message.get("inputs"), parameters.prompt, either["image"])
    prompt, prompt_loras = loras.taken_from(prompt, parameters.num_inference_steps)
    named, set_aside = loras.chosen({"lora": either["lora"], "loras": either["loras"]}, sent.lora)
    width, height = _size(parameters)
    generate = generate_request(
        prompt=prompt,
        negative_prompt=loras.untagged(parameters.negative_prompt),
        prompt_syntax=parameters.prompt_syntax,
        width=width,
        height=height,
        steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        scheduler=scheduler(parameters.scheduler),
        timestep_spacing=parameters.timestep_spacing,
        seed=chosen_seed(parameters.seed),
        hires=parameters.hires,
        metadata=parameters.metadata,
        controls=controls(parameters.controls),
        format=preferred_format(sent.accept),
        image=image,
        mask=_mask(either["mask_image"], either["mask"], image),
        strength=_strength(parameters.strength, image),
    )
    others = {name: value for name, value in message.items() if name not in (*_EXPECTED, *_EITHER)}
    warnings = (*set_aside, *loras.unused(others), *loras.unused(parameters.model_extra or {}))
    return ImageRequest(
        generate,
        _model(sent.model, either["model"]),
        named,
        prompt_loras,
        warnings,
        content_credentials=parameters.content_credentials,
    )


def _message(body: bytes, media_type: str) -> dict[str, Any]:
    """The body as the JSON that says the same. curl calls JSON a form unless told, so the first byte decides."""
    picture = pictures.in_bytes(body)
    if picture is not None:
        return {"image": picture}
    if media_type.startswith(("image/", "multipart/")):
        raise BadRequest("the body is no PNG, JPEG or WebP: send such an image, or a prompt as text or JSON")
    is_json = media_type == "application/json" or (media_type != "text/plain" and body.lstrip().startswith(b"{"))
    return json_object(body) if is_json else {"inputs": _text(body)}


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body is neither JSON nor text in UTF-8, and no image that is read") from None


def _flat(parameters: Any) -> Mapping[str, Any]:
    """The parameters, with those of `extra_body` among them: some huggingface_hub send it as they were given it."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest("parameters must be an object", param="parameters")
    extra = parameters.get("extra_body")
    if not isinstance(extra, dict):
        return parameters
    return {**extra, **{name: value for name, value in parameters.items() if name != "extra_body"}}


def _parameters(value: Mapping[str, Any]) -> Parameters:
    try:
        return Parameters.model_validate(value)
    except ValidationError as error:
        raise sentence(error, "parameters") from None


def _one(name: str, first: Any, second: Any) -> Any:
    """The value of a field that the body may have in two places."""
    if first is None or second is None:
        return second if first is None else first
    if first != second:
        raise BadRequest(f"{name} is set twice, within parameters and beside them: use one", param=name)
    return first


def _subject(inputs: Any, prompt: str | None, image: Any) -> tuple[str, str | None]:
    """Prompt and picture: `inputs` is either, what it is not comes from the parameters."""
    if image is not None:
        found = pictures.must_be_in("image", image)
        words = _one("the prompt", inputs, prompt) if inputs is not None else prompt
        if words is not None and not isinstance(words, str):
            raise BadRequest("inputs must be the prompt, as a text", param="inputs")
        if words and pictures.in_text("inputs", words):
            raise BadRequest("inputs and image are both an image: use one", param="inputs")
        return words or "", found
    if not isinstance(inputs, str):
        raise BadRequest("inputs must be the prompt, as a text, or an image in base64", param="inputs")
    found_here = pictures.in_text("inputs", inputs)
    if found_here is not None:
        return prompt or "", found_here
    if prompt is not None and prompt != inputs:
        raise BadRequest("inputs and parameters.prompt are both a prompt: use one", param="inputs")
    return inputs, None


def _size(parameters: Parameters) -> tuple[int | None, int | None]:
    target = parameters.target_size
    if target is None:
        return parameters.width, parameters.height
    if parameters.width not in (None, target.width) or parameters.height not in (None, target.height):
        raise BadRequest("target_size and width or height differ: use one", param="target_size")
    return target.width, target.height


def _mask(mask_image: Any, mask: Any, image: str | None) -> str | None:
    value = _one("mask_image (or mask)", mask_image, mask)
    if value is None:
        return None
    if image is None:
        raise BadRequest("a mask needs an image to paint in: send that as inputs", param="mask_image")
    return pictures.must_be_in("mask_image", value)


def _strength(strength: float | None, image: str | None) -> float | None:
    if strength is not None and image is None:
        raise BadRequest("strength needs an image to begin with: send that as inputs", param="strength")
    return strength


def _model(path: str | None, body: Any) -> str | None:
    if body is not None and not isinstance(body, str):
        raise BadRequest("model must be the name of a base or an adapter", param="model")
    if path and body and path != body:
        raise BadRequest("the path and the body name different models: use one", param="model")
    name = path or body
    return model_name(name) if name else None
