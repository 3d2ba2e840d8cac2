"""What the Hub's refusals mean for a source, for the operator and the pods alike.

Errors of the Hub's client library are known by their names, so that who only talks about adapters need not have it.
"""

from collections.abc import Mapping
from typing import Final

from lorapool_api.fetch.policy import SourceRefused, refused_by_status
from lorapool_api.kinds.conditions import Reason

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_AWAY: Final = frozenset({"LocalEntryNotFoundError", "OfflineModeIsEnabled"})
_CODE, _MESSAGE = "x-error-code", "x-error-message"
_NO_REPOSITORY, _GATED = "RepoNotFound", "GatedRepo"
_MISSING: Final = {
    "RevisionNotFound": "has no such revision",
    "EntryNotFound": "has no such file",
    _NO_REPOSITORY: "is no repository of the Hub, or it is private and needs a tokenSecretRef whose user may read it",
}
_ACCEPT: Final = (
    "accept its conditions at the Hub, or ask its owner for access, and let tokenSecretRef name a token of that user"
)
_OF_TOKENS: Final = {
    _UNAUTHORIZED: "it does not know the token that was sent",
    _FORBIDDEN: "whoever asks may not read it, or the token lacks the right to read it",
}
_BAD_TOKEN: Final = "Invalid credentials in Authorization header"  # noqa: S105 -- what the Hub says of one


def refused_by_hub(error: Exception, repo: str, detail: str = "") -> SourceRefused:
    """The refusal that an error of `huggingface_hub`, or of the HTTP client below it, is.

    Args:
        detail: revision or file, for the message.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    shown = f"{repo} {detail}".rstrip()
    if kinds & _AWAY:
        return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the Hub cannot be reached")
    if "HFValidationError" in kinds:
        return SourceRefused(Reason.SOURCE_NOT_FOUND, f"{shown} is no name of a repository")
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int):
        return refused_by_answer(status, getattr(response, "headers", {}), repo, detail)
    return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the Hub cannot be reached: {type(error).__name__}")


def refused_by_answer(status: int, headers: Mapping[str, str], repo: str, detail: str = "") -> SourceRefused:
    """The refusal that an answer of the Hub is. It says 401 of what does not exist, and of what is private."""
    code, shown = headers.get(_CODE, ""), f"{repo} {detail}".rstrip()
    if code == _GATED:
        return SourceRefused(Reason.SOURCE_FORBIDDEN, f"{repo} is gated: {_ACCEPT}")
    if code not in _MISSING and status == _UNAUTHORIZED and headers.get(_MESSAGE) != _BAD_TOKEN:
        code = _NO_REPOSITORY
    if code in _MISSING:
        return SourceRefused(Reason.SOURCE_NOT_FOUND, f"{shown} {_MISSING[code]}")
    if status in _OF_TOKENS:
        return SourceRefused(Reason.SOURCE_FORBIDDEN, f"{shown}: the Hub answered HTTP {status}: {_OF_TOKENS[status]}")
    return refused_by_status(f"{shown}: the Hub", status, headers)
