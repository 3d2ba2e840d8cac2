"""What a status says of the base model."""

from pydantic import Field

from lorapool_api.schema import ApiModel


class BaseRevision(ApiModel):
    """A repository of the base model, settled once for all pods until the spec names another revision."""

    repo: str = Field(description="Repository on the Hugging Face Hub.")
    revision: str = Field(description="What the spec names: a branch or a tag.")
    commit: str | None = Field(
        default=None,
        description="The commit that every pod loads. Absent: the operator, which has no token, could not look it up; "
        "each pod resolves the revision when it starts.",
    )


class ModelStatus(ApiModel):
    """What the base model was found to be."""

    revision: str | None = Field(default=None, description="Commit on the Hub, or digest of a folder.")
    size_bytes: int | None = Field(default=None, description="Size of the weights, those of controls included.")
    sources: tuple[BaseRevision, ...] = Field(
        default=(), description="The repositories of `spec.model`, each at its commit.", max_length=32
    )
