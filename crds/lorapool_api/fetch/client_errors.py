"""What an error of an HTTP client means for a source, for the operator and the pods alike.

httpx's errors are known by their names, so that who only talks about adapters need not have it.
"""

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason


def refused_by_client(error: Exception, shown: str) -> SourceRefused:
    """The refusal that an error of httpx or of the sockets below it is; `shown` names the source."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"InvalidURL", "ValueError"}:
        return SourceRefused(Reason.SOURCE_NOT_FOUND, f"{shown} is not an address")
    if kinds & {"TimeoutException", "TimeoutError"}:
        return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown} did not answer in time")
    return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown} cannot be reached: {type(error).__name__}")
