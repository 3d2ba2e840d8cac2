"""Adapters that are a list of others, each with a scale."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import Field

from lorapool_api.schema import ApiModel

# As many as a request may name: one that names a stack shall be as possible as one that names its members.
MAX_MEMBERS: Final = 8


class StackMember(ApiModel):
    """An adapter of a stack."""

    name: str = Field(
        description="Name of a LoraAdapter of the same pool: of the stack's own namespace first, else any name that a "
        "request may use in that pool, a model id or namespace/name.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?$",
        min_length=1,
        max_length=320,
    )
    scale: float | None = Field(default=None, description="Strength in the stack. Default: its own.", ge=-10, le=10)


StackMembers = Annotated[
    tuple[StackMember, ...],
    Field(
        min_length=1,
        max_length=MAX_MEMBERS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]


@dataclass(frozen=True)
class StackSource:
    """No file: a list of other adapters."""

    is_seen_by_pods_only: ClassVar[bool] = False
    tells_sha256: ClassVar[bool] = False

    members: tuple[StackMember, ...]

    @property
    def label(self) -> str:
        return f"a stack of {', '.join(member.name for member in self.members)}"
