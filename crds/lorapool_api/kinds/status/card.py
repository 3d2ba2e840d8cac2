"""What the card of a repository says of an adapter, as its status has it."""

from typing import Annotated, Final

from pydantic import Field

MOST_BASE_MODELS: Final = 16
MAX_PICTURE_ADDRESS: Final = 1000
# The Hub's longest id has 193 characters.
_BaseModelName = Annotated[str, Field(min_length=1, max_length=193)]

CardBaseModels = Annotated[
    tuple[_BaseModelName, ...],
    Field(
        description="What the card says that it was trained for.",
        max_length=MOST_BASE_MODELS,
        exclude_if=lambda names: not names,
    ),
]
CardPicture = Annotated[
    str | None,
    Field(
        description="Address of the first picture that the card shows, in the repository at that commit. Whoever shows "
        "the adapter in a menu may show it; nothing here fetches it.",
        max_length=MAX_PICTURE_ADDRESS,
        exclude_if=lambda address: address is None,
    ),
]
