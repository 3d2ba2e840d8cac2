"""What is known of a picture that somebody asks about."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PictureSoftware(BaseModel):
    """The certificate that a picture was signed with, as it calls itself."""

    model_config = ConfigDict(frozen=True)

    common_name: str | None = None
    organization: str | None = None


class MadeWithBase(BaseModel):
    """The base model of a picture."""

    model_config = ConfigDict(frozen=True)

    name: str
    revision: str


class MadeWithAdapter(BaseModel):
    """An adapter of a picture."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    scale: Any = Field(description="A number, or a text where it changes from step to step.")


class SignedRecipe(BaseModel):
    """What this installation signed of how the picture was made."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    pool: str
    base: MadeWithBase
    adapters: tuple[MadeWithAdapter, ...]
    seed: int
    software: str
    prompt: str | None = None
    negative_prompt: str | None = Field(default=None, alias="negativePrompt")


class PictureReport(BaseModel):
    """Whose a picture is."""

    model_config = ConfigDict(frozen=True)

    signed: bool = Field(description="Whether it holds a C2PA manifest.")
    valid: bool = Field(description="Whether the manifest is whole and the picture is the one that was signed.")
    ours: bool = Field(description="Whether it is valid and was signed with a key of this installation.")
    signer: PictureSoftware | None = Field(
        default=None, description="As the certificate calls itself: whoever made it may have written anything."
    )
    made_with: SignedRecipe | None = Field(default=None, description="Of a picture that is ours: how it was made.")
    reasons: tuple[str, ...] = Field(default=(), description="Why it is not ours, or what else is to be known.")
    codes: tuple[str, ...] = Field(default=(), description="What C2PA's validation found wrong, in its own words.")


class PictureTexts(BaseModel):
    """What a picture's file says in texts, signed or not."""

    model_config = ConfigDict(frozen=True)

    parameters: str | None = None
    others: dict[str, str] = Field(default={})
