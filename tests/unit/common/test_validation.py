"""What pydantic says of a value, in one sentence."""

import pytest
from pydantic import BaseModel, ValidationError

from lorapool_common.validation import first_error


class Sizes(BaseModel):
    sizes: tuple[int, ...]


def test_the_first_error_has_its_place() -> None:
    with pytest.raises(ValidationError) as raised:
        Sizes.model_validate({"sizes": [1, "x", "y"]})
    place, first = first_error(raised.value, "spec")
    assert (place, first["type"], first["input"]) == ("spec.sizes.1", "int_parsing", "x")
