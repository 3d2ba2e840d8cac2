"""Types of settings that are read from environment variables."""

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(word for part in value.split(",") if (word := part.strip()))


# Words by commas in the variable, a tuple in the settings.
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
