"""What pydantic says of a value that it refuses, in one sentence."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def first_error(error: ValidationError, *within: str) -> tuple[str, ErrorDetails]:
    """The first thing that is wrong: its place, as `adapters.0.scale`, and what pydantic says of it.

    Args:
        within: where the refused value itself stands.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    return ".".join(map(str, (*within, *first["loc"]))), first
