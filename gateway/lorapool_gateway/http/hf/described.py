"""The routes of Hugging Face inference, as the pages of the API describe them."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.http.described.errors import InferenceErrorBody
from lorapool_gateway.http.described.operation import BINARY, JSON, LOOKUP_ERRORS, TEXT, images, operation, query
from lorapool_gateway.http.fields.documented import Loras, ModelName, Picture
from lorapool_gateway.http.hf.dialect import Parameters

TAG: Final = "Hugging Face inference"


class InferenceBody(BaseModel):
    """A prompt or a picture, and what to make of it."""

    model_config = ConfigDict(extra="allow")

    inputs: str | None = Field(default=None, description="The prompt, or the picture to begin with in base64.")
    parameters: Parameters | None = Field(default=None, description="What is left out is the adapter's or the pool's.")
    options: Any = Field(default=None, description="Has no effect here.")
    image: Picture = None
    mask_image: Picture = None
    mask: Picture = None
    model: ModelName = None
    lora: Loras = None
    loras: Loras = None


class InferenceOk(BaseModel):
    """It is there."""

    ok: bool


def infer(summary: str) -> dict[str, Any]:
    """A route that makes an image."""
    pictures = {f"image/{kind}": BINARY for kind in ("png", "jpeg", "webp")}
    lora = query("lora", "As the header of that name; so may be each parameter.", TEXT)
    return images(
        summary,
        body={JSON: InferenceBody, "text/plain": TEXT, **pictures},
        answers={kind.media_type: BINARY for kind in ImageFormat},
        error=InferenceErrorBody,
        tags=[TAG],
        parameters=[lora],
    )


def there(summary: str, *, needs_key: bool = True) -> dict[str, Any]:
    """A route that says whether something is there."""
    open_to_all: dict[str, Any] = {} if needs_key else {"security": []}
    errors = LOOKUP_ERRORS if needs_key else ()
    return operation(
        summary, answers={JSON: InferenceOk}, error=InferenceErrorBody, errors=errors, tags=[TAG], **open_to_all
    )
