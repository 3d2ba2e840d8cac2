"""Names that requests may use, as statuses record them: who had a name keeps it."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from lorapool_api.schema import ApiModel

# An adapter's own and 16 model ids; a pool's own, full and short, its Hub id and 16 aliases.
MOST_NAMES: Final = 20
MOST_KEPT_NAMES: Final = 256
# The Hub's longest id has 193 characters, a name of Kubernetes 253 and one of a namespace 63.
AnyName = Annotated[str, Field(description="A name that a request may use.", min_length=1, max_length=320)]


class HeldName(ApiModel):
    """A name that an object has."""

    name: AnyName
    since: datetime = Field(description="Since when; of two namespaces the first one is meant by it.")


class KeptName(ApiModel):
    """A name that nobody has, kept for the namespace whose adapter had it last."""

    name: AnyName
    namespace: str = Field(description="Adapters of this namespace may have it.", min_length=1, max_length=63)
    until: datetime = Field(description="Then anybody may have it.")


HeldNames = Annotated[
    tuple[HeldName, ...],
    Field(
        max_length=MOST_NAMES,
        description="Names that stand for it in the pool, and since when; `namespace/name` does so anyway.",
        exclude_if=lambda names: not names,
    ),
]
