"""What an error of the Hub's client library means for a source, for the operator's look and the pods' download alike.

The library's errors are known by their names, so that who only talks about adapters need not have it.
"""

from typing import Final

from lorapool_api.fetch.policy import SourceRefused, refused_by_status
from lorapool_api.kinds.conditions import Reason

_AWAY: Final = frozenset({"LocalEntryNotFoundError", "OfflineModeIsEnabled"})
_MISSING: Final = {
    "RevisionNotFoundError": "has no such revision",
    "EntryNotFoundError": "has no such file",
    "RepositoryNotFoundError": "is no repository of the Hub, or it is private",
    "HFValidationError": "is no name of a repository",
}


def refused_by_hub(error: Exception, repo: str, detail: str = "") -> SourceRefused:
    """The refusal that an error of `huggingface_hub`, or of the HTTP client below it, is.

    Args:
        detail: revision or file, for the message.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    shown = f"{repo} {detail}".rstrip()
    if kinds & _AWAY:
        return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the Hub cannot be reached")
    if "GatedRepoError" in kinds:
        return SourceRefused(Reason.SOURCE_FORBIDDEN, f"{repo} is gated: its owner must grant access")
    for kind, words in _MISSING.items():
        if kind in kinds:
            return SourceRefused(Reason.SOURCE_NOT_FOUND, f"{shown} {words}")
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int):
        return refused_by_status(f"{shown}: the Hub", status, getattr(response, "headers", {}))
    return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the Hub cannot be reached: {type(error).__name__}")
