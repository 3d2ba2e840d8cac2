"""What a request gets that does not say, from the adapters of its stack: pure, the same for gateway and pod."""

import math
from collections.abc import Iterable
from typing import Final

from lorapool_api.kinds.serving import AdapterDefaults, FoundDefaults, ServingLimits

NO_DEFAULTS: Final = FoundDefaults()
_FIELDS: Final = tuple(AdapterDefaults.model_fields)


def first_said(*levels: AdapterDefaults | None) -> FoundDefaults:
    """Each field as the first of these says it that does."""
    said = [level for level in levels if level is not None]
    if not said:
        return NO_DEFAULTS
    firsts = {field: next((v for level in said if (v := getattr(level, field)) is not None), None) for field in _FIELDS}
    return FoundDefaults(**firsts)


def of_adapter(said: AdapterDefaults | None, file: AdapterDefaults | None, limits: ServingLimits) -> FoundDefaults:
    """The defaults of one adapter.

    Args:
        said: what its object says; the operator refuses one that says more than the pool allows.
        file: what its file declares, or is known for; of its steps no more count than the pool allows.
    """
    if file is not None and file.steps is not None and file.steps > limits.steps:
        file = file.model_copy(update={"steps": limits.steps})
    return first_said(said, file)


def of_stack(adapters: Iterable[AdapterDefaults]) -> FoundDefaults:
    """The defaults of a stack, from those of its adapters in their order.

    The first adapter that says a field decides it, and of these the one of the fewest steps comes first: what was
    trained for four steps makes nothing of thirty, while the others follow it.
    """
    return first_said(*sorted(adapters, key=lambda said: math.inf if said.steps is None else said.steps))
