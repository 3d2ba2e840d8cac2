"""Requests as clients of A1111's WebUI send them, and the replies that they expect: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lorapool_api.kinds.serving import PromptSyntax
from lorapool_api.wire.request import HiresPass, ImageFormat, Upscaler
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import loras, pictures
from lorapool_gateway.http.fields.controls import controls
from lorapool_gateway.http.fields.fields import chosen_seed, generate_request, model_name, short
from lorapool_gateway.http.sdapi.body import ImageToImageBody, TextToImageBody, read_body, unknown_fields
from lorapool_gateway.http.sdapi.running import PREVIEWS
from lorapool_gateway.http.sdapi.samplers import sampler
from lorapool_gateway.routing.request import ImageRequest

# As the WebUI's API has them.
_IMAGE_STRENGTH: Final = 0.75
_HIRES_STRENGTH: Final = 0.5
_LATENT_PIXELS: Final = 8
PIXEL_UPSCALERS: Final = ("Lanczos", "None")
LATENT_UPSCALERS: Final = ("Latent",)


@dataclass(frozen=True)
class WebUIRequest(ImageRequest):
    """A request for images, and what its reply repeats of it.

    Attributes:
        parameters: what the body said, without pictures.
        send_images: whether the reply has them.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    send_images: bool = True


def parse_text(body: bytes, lora_header: str = "") -> WebUIRequest:
    """`txt2img`. Raises: BadRequest."""
    return _request(read_body(body, TextToImageBody), lora_header)


def parse_image(body: bytes, lora_header: str = "") -> WebUIRequest:
    """`img2img`. Raises: BadRequest."""
    fields = read_body(body, ImageToImageBody)
    if len(fields.init_images) != 1:
        raise BadRequest("init_images must be one image", param="init_images")
    if fields.enable_hr:
        raise BadRequest("enable_hr is of txt2img alone", param="enable_hr")
    image = pictures.must_be_in("init_images", fields.init_images[0])
    mask = None if fields.mask is None else pictures.must_be_in("mask", fields.mask)
    strength = _IMAGE_STRENGTH if fields.denoising_strength is None else fields.denoising_strength
    return _request(fields, lora_header, image=image, mask=mask, strength=strength)


def _request(fields: TextToImageBody, lora_header: str, **picture: Any) -> WebUIRequest:
    prompt, tags = loras.taken_from(fields.prompt, fields.steps)
    named, set_aside = loras.chosen({"lora": fields.lora, "loras": fields.loras}, lora_header)
    scheduler, spacing = sampler(fields.sampler_name or fields.sampler_index, fields.scheduler)
    generate = generate_request(
        prompt=prompt,
        negative_prompt=loras.untagged(fields.negative_prompt),
        prompt_syntax=PromptSyntax.A1111,
        width=_whole(fields.width),
        height=_whole(fields.height),
        steps=fields.steps,
        guidance_scale=fields.cfg_scale,
        scheduler=scheduler,
        timestep_spacing=spacing,
        seed=chosen_seed(fields.seed),
        hires=_hires(fields),
        metadata=_metadata(fields),
        controls=controls(fields.controls),
        images=fields.batch_size * fields.n_iter,
        format=ImageFormat.PNG,
        previews=PREVIEWS,
        **picture,
    )
    said = fields.model_dump(exclude={"init_images", "mask", "controls"}, exclude_unset=True, exclude_none=True)
    return WebUIRequest(
        generate,
        _checkpoint(fields),
        (*named, *tags),
        warnings=(*set_aside, *loras.unused(unknown_fields(fields))),
        parameters={**said, **dict.fromkeys(fields.model_fields_set & {"init_images", "mask"})},
        send_images=fields.send_images,
        content_credentials=fields.content_credentials,
    )


def _whole(pixels: int | None) -> int | None:
    """The WebUI leaves out what is over a latent's eight pixels; a canvas has any size."""
    return pixels - pixels % _LATENT_PIXELS if pixels is not None and pixels > _LATENT_PIXELS else pixels


def _checkpoint(fields: TextToImageBody) -> str | None:
    """The base that the request names, as `sd-models` shows it: its name, or its title with a hash."""
    settings = fields.override_settings
    name = settings.sd_model_checkpoint if settings else None
    return model_name(untitled(name)) if name else None


def _metadata(fields: TextToImageBody) -> bool | None:
    """Whether the files hold the recipe: by our field, or by the WebUI's option of the same meaning."""
    settings = fields.override_settings
    return settings.enable_pnginfo if fields.metadata is None and settings else fields.metadata


def untitled(title: str) -> str:
    """The name in a title of `sd-models`: `name [hash]`."""
    name, bracket, _ = title.rpartition(" [")
    return name if bracket and title.endswith("]") else title


def _hires(fields: TextToImageBody) -> HiresPass | None:
    if not fields.enable_hr:
        return None
    strength = _HIRES_STRENGTH if fields.denoising_strength is None else fields.denoising_strength
    try:
        return HiresPass(
            scale=_hires_scale(fields),
            upscaler=_upscaler(fields.hr_upscaler),
            steps=fields.hr_second_pass_steps or None,
            strength=strength,
        )
    except ValueError as error:
        raise BadRequest(f"enable_hr: {error}", param="enable_hr") from None


def _hires_scale(fields: TextToImageBody) -> float:
    x, y = fields.hr_resize_x, fields.hr_resize_y
    if not x and not y:
        return fields.hr_scale
    if not (fields.width and fields.height and x and y) or x * fields.height != y * fields.width:
        raise BadRequest("hr_resize_x and hr_resize_y must have the shape of width and height", param="hr_resize_x")
    return x / fields.width


def _upscaler(name: str | None) -> Upscaler:
    if name is None or name in LATENT_UPSCALERS:
        return Upscaler.LATENT
    if name in PIXEL_UPSCALERS:
        return Upscaler.PIXEL
    listed = ", ".join((*LATENT_UPSCALERS, *PIXEL_UPSCALERS))
    raise BadRequest(f"no upscaler is called {short(name)!r}; there are {listed}", param="hr_upscaler")
