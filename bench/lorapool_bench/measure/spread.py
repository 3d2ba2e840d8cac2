"""Several measurements of one thing, in the few numbers that say what they were."""

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import Final

from pydantic import BaseModel, ConfigDict

# Of a normal distribution: deviation over median absolute deviation, and the median's error over the mean's.
_DEVIATION: Final = 1.4826
_MEDIAN_ERROR: Final = 1.2533


class Spread(BaseModel):
    """In seconds, unless its field says otherwise.

    Attributes:
        low, high: the smallest and the largest.
        error: standard error of the median, from the median absolute deviation: a few outliers do not move it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    median: float
    low: float
    high: float
    error: float
    count: int


def spread(samples: Sequence[float]) -> Spread:
    """Raises: ValueError without samples."""
    if not samples:
        raise ValueError("nothing was measured")
    middle = median(samples)
    deviation = _DEVIATION * median(abs(s - middle) for s in samples)
    error = _MEDIAN_ERROR * deviation / sqrt(len(samples))
    return Spread(median=middle, low=min(samples), high=max(samples), error=error, count=len(samples))
