"""What a pod answers: images, steps on the way to them, or an error."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from lorapool_api.kinds.conditions import AnyReason
from lorapool_api.newer import ANY_WORD, OPEN, Word
from lorapool_api.wire.message import Message, Wire
from lorapool_api.wire.request import MAX_PROMPT_CHARACTERS, ImageFormat
from lorapool_api.wire.weighting.scale import Scale

# Two prompts, and a line of settings.
_MAX_RECIPE_CHARACTERS: Final = 4 * MAX_PROMPT_CHARACTERS


def _none_if_long(text: Any) -> Any:
    """Whoever sent it may be broken or hostile."""
    return None if isinstance(text, str) and len(text) > _MAX_RECIPE_CHARACTERS else text


class StepReport(Wire):
    """A step that is done."""

    number: int = Field(description="From 1, over all images of the request.")
    of: int
    preview: str | None = Field(default=None, description="A JPEG in base64.")


class MadeImage(Wire):
    """One image of a reply."""

    data: str = Field(description="The encoded image in base64.")
    seed: int
    recipe: Annotated[str | None, BeforeValidator(_none_if_long)] = Field(
        default=None, description="The text that its file holds of how it was made."
    )


class UsedAdapter(Wire):
    """An adapter that made the images."""

    key: str
    sha256: str
    scale: Scale


class Timings(Wire):
    """Where the time of a request went, in seconds."""

    queue_s: float = 0.0
    load_s: float = Field(default=0.0, description="Bringing adapters from their tier to the device.")
    switch_s: float = Field(default=0.0, description="Activating adapters.")
    prompt_s: float = Field(default=0.0, description="What the text encoders took; 0 where the prompts were known.")
    inference_s: float = Field(default=0.0, description="Steps, and decoding what they made.")
    decode_s: float = Field(default=0.0, description="Of that: from latents to pixels.")
    encode_s: float = 0.0


class GenerateReply(Wire):
    """Images, and what they were made with."""

    images: tuple[MadeImage, ...]
    format: ImageFormat
    width: int
    height: int
    base: str = Field(description="Label of the base model.")
    base_revision: str
    adapters: tuple[UsedAdapter, ...]
    pod: str
    timings: Timings
    warnings: tuple[Message, ...] = ()


class ErrorCode(StrEnum):
    """Why a pod did not do what it was asked."""

    INVALID_REQUEST = "InvalidRequest"  # 400
    UNAUTHORIZED = "Unauthorized"  # 401
    UNKNOWN_ADAPTER = "UnknownAdapter"  # 404: not in this pod's catalog
    DIGEST_MISMATCH = "DigestMismatch"  # 409
    ADAPTER_NOT_READY = "AdapterNotReady"  # 409: another file than asked for, or still on its way
    TOO_LARGE = "TooLarge"  # 413
    ADAPTER_FAILED = "AdapterFailed"  # 422: `reason` says why
    CONTENT_REFUSED = "ContentRefused"  # 422: the pool's checker lets a picture not leave
    TOO_MANY_PENDING = "TooManyPending"  # 429
    INTERNAL = "Internal"  # 500
    OUT_OF_MEMORY = "OutOfMemory"  # 507: the device has no room for a request of that size
    NOT_READY = "NotReady"  # 503: still loading, or stopping
    NOT_CHECKED = "NotChecked"  # 503: the pool's checker gave no verdict, and no picture leaves without
    DEADLINE_TOO_SOON = "DeadlineTooSoon"  # 503: as far as is known, it would not be made before its deadline
    TIMEOUT = "Timeout"  # 504


class ErrorReply(Wire):
    """An error of a runtime pod."""

    code: Annotated[ErrorCode | Word, OPEN, ANY_WORD]
    message: Message
    reason: AnyReason | None = None
    retryable: bool = Field(default=False, description="Whether another pod, or this one later, may succeed.")

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)
