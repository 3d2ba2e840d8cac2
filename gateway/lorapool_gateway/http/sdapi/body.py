"""The fields of `txt2img` and `img2img` (AUTOMATIC1111's WebUI, `modules/api/models.py`, as its clients send them)."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.documented import Controls, Loras
from lorapool_gateway.http.fields.fields import json_object, sentence, short

# Of images: A1111 leaves it to the machine, here the pool's limit comes after it.
_MOST_IMAGES: Final = 1_000


class OverrideSettings(BaseModel):
    """`override_settings`: what would be an option of the whole server is one of this request."""

    model_config = ConfigDict(extra="allow")

    sd_model_checkpoint: str | None = None
    enable_pnginfo: bool | None = Field(default=None, description="The same as metadata; that goes first.")


class TextToImageBody(BaseModel):
    """What `txt2img` may say; what is left out is the pool's default, not the WebUI's."""

    model_config = ConfigDict(extra="allow")

    prompt: str = ""
    negative_prompt: str | None = None
    seed: int | None = None
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    batch_size: int = Field(default=1, ge=1, le=_MOST_IMAGES)
    n_iter: int = Field(default=1, ge=1, le=_MOST_IMAGES)
    steps: int | None = None
    cfg_scale: float | None = None
    width: int | None = None
    height: int | None = None
    denoising_strength: float | None = None
    override_settings: OverrideSettings | None = None
    send_images: bool = True
    enable_hr: bool = False
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    metadata: bool | None = Field(default=None, description="Whether the files hold the recipe, as text.")
    content_credentials: bool | None = Field(default=None, description="Whether the images are signed (C2PA).")
    controls: Controls = None
    loras: Loras = None
    lora: Loras = None


class ImageToImageBody(TextToImageBody):
    """What `img2img` may say besides."""

    init_images: list[str]
    mask: str | None = None
    include_init_images: bool = False


AnyBody = TypeVar("AnyBody", bound=TextToImageBody)

# What changes the picture and is not served, with what it is when it is left alone.
_LEFT_ALONE: Final[Mapping[str, tuple[Any, ...]]] = {
    "alwayson_scripts": ({}, []),
    "hr_checkpoint_name": ("", "Use same checkpoint"),
    "hr_negative_prompt": ("",),
    "hr_prompt": ("",),
    "hr_sampler_name": ("", "Use same sampler"),
    "inpainting_mask_invert": (0, False),
    "refiner_checkpoint": ("", "None"),
    "resize_mode": (0,),
    "restore_faces": (False,),
    "script_name": ("", "None"),
    "seed_resize_from_h": (0, -1),
    "seed_resize_from_w": (0, -1),
    "styles": ([],),
    "subseed_strength": (0,),
    "tiling": (False,),
}
# Said by most clients whatever they want: nothing is lost where they have no effect.
_IDLE: Final = frozenset(
    {
        *("do_not_save_grid", "do_not_save_samples", "override_settings_restore_afterwards", "save_images", "subseed"),
        *("script_args", "seed_enable_extras", "initial_noise_multiplier", "force_task_id", "comments", "infotext"),
        *("eta", "s_churn", "s_min_uncond", "s_noise", "s_tmax", "s_tmin", "refiner_switch_at", "image_cfg_scale"),
        *("disable_extra_networks", "firstphase_width", "firstphase_height", "hr_scheduler"),
        *(*_LEFT_ALONE, "mask_blur", "mask_blur_x", "mask_blur_y", "inpaint_full_res", "inpaint_full_res_padding"),
        *("inpainting_fill", "latent_mask", "mask_round"),
    }
)


def read_body(body: bytes, kind: type[AnyBody]) -> AnyBody:
    """The fields. Raises: BadRequest, also for what would change the picture and is not served."""
    try:
        fields = kind.model_validate(json_object(body))
    except ValidationError as error:
        raise sentence(error) from None
    more = fields.model_extra or {}
    for name, alone in _LEFT_ALONE.items():
        value = more.get(name)
        if value is not None and value not in alone:
            raise BadRequest(f"{name} is not served here (got {short(repr(value))}): leave it out", param=name)
    return fields


def unknown_fields(fields: TextToImageBody) -> dict[str, Any]:
    """What the body says that means nothing, here or there."""
    return {name: value for name, value in (fields.model_extra or {}).items() if name not in _IDLE}
