"""The answers of OpenAI's routes, as the pages of the API describe them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from lorapool_api.wire.request import ImageFormat


class OpenAIImage(BaseModel):
    """One image: `b64_json`, or `url` where that was asked for."""

    b64_json: str | None = None
    url: str | None = None
    seed: int


class OpenAIUsage(BaseModel):
    """Tokens are none; images and seconds of the device are counted."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens_details: dict[str, int]
    images: int
    device_seconds: float


class OpenAIImages(BaseModel):
    """The images of a request."""

    created: int = Field(description="Seconds since 1970.")
    data: list[OpenAIImage]
    output_format: ImageFormat
    size: str
    usage: OpenAIUsage


class OpenAIModel(BaseModel):
    """A base or an adapter; what an adapter has besides is there for adapters alone."""

    id: str = Field(description="Its shortest name that means nothing else.")
    object: Literal["model"]
    created: int
    owned_by: str = Field(description="Its namespace.")
    kind: Literal["base", "adapter"]
    pool: str
    names: list[str] = Field(description="Its other names.")
    ready: bool | None = None
    scale: float | None = Field(default=None, description="How strongly it counts where a request does not say.")
    trigger_words: list[str] | None = None
    defaults: dict[str, Any] | None = Field(default=None, description="What a request gets that does not say.")
    sha256: str | None = None
    thumbnail: str | None = Field(default=None, description="Address of a picture that its card on the Hub shows.")
    stack: list[dict[str, Any]] | None = Field(default=None, description="The members of a stack.")


class OpenAIModels(BaseModel):
    """All that is served."""

    object: Literal["list"]
    data: list[OpenAIModel]
