"""The answers of the WebUI's routes, as the pages of the API describe them."""

from typing import Any

from pydantic import BaseModel, Field


class WebUIImages(BaseModel):
    """The images of a request."""

    images: list[str] = Field(description="In base64.")
    parameters: dict[str, Any] = Field(description="What was asked, without pictures.")
    info: str = Field(description="JSON: what the images were made with.")


class WebUIState(BaseModel):
    """What the oldest request does."""

    skipped: bool
    interrupted: bool
    stopping_generation: bool
    job: str
    job_count: int = Field(description="How many requests of this key run.")
    job_timestamp: str
    job_no: int
    sampling_step: int
    sampling_steps: int


class WebUIProgress(BaseModel):
    """How far the oldest request of the key is that runs."""

    progress: float = Field(ge=0, le=1)
    eta_relative: float = Field(description="Seconds.")
    state: WebUIState
    current_image: str | None = Field(description="A JPEG in base64 of what it becomes.")
    textinfo: str | None
