"""What all messages between the parts have in common."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A frozen message. Unknown fields are ignored: the other side may be newer."""

    model_config = ConfigDict(frozen=True, extra="ignore")
