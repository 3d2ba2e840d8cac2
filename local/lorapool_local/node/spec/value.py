"""The base of what the node reads of the API."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class SpecValue(BaseModel):
    """A frozen part of a Pod, in the API's camelCase; fields that the node does not use are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)
