"""One call of the API server, in the words of its metrics: verb, resource, code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

# An answer that never came, or broke off before its status.
UNREACHABLE: Final = "unreachable"
# Health, discovery and logs: what is no kind.
OTHER: Final = "other"
# A question that is put as a write: a refusal is an answer.
DRY_RUN: Final = "dry-run"

_VERBS: Final = {"POST": "create", "PUT": "update", "DELETE": "delete"}
_APPLY: Final = "application/apply-patch+yaml"


@dataclass(frozen=True)
class ApiCall:
    """A call that is over.

    Attributes:
        verb: as RBAC names it; `apply` for server-side apply; `dry-run` for what only asks.
        resource: plural and, where there is one, subresource: `loraadapters/status`.
        code: the answer's HTTP status, or `unreachable`.
        seconds: until the answer was read; of a watch, until it ended.
    """

    verb: str
    resource: str
    code: str
    seconds: float


ObserveCall = Callable[[ApiCall], None]


def no_observer(call: ApiCall) -> None:
    """Calls that nobody counts."""


def verb_and_resource(method: str, path: str, query: Mapping[str, str], content_type: str) -> tuple[str, str]:
    """What the call does, and to what: pure. No name of an object is part of it."""
    parts = path.strip("/").split("/")
    # /api/v1/..., or /apis/GROUP/VERSION/...
    rest = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    if not rest:
        return _verb(method, query, content_type, is_named=True), OTHER
    subresource = f"/{rest[2]}" if len(rest) > 2 else ""
    return _verb(method, query, content_type, is_named=len(rest) > 1), f"{rest[0]}{subresource}"


def _verb(method: str, query: Mapping[str, str], content_type: str, *, is_named: bool) -> str:
    if method == "GET":
        return "watch" if query.get("watch") == "true" else "get" if is_named else "list"
    if "dryRun" in query:
        return DRY_RUN
    if method == "PATCH":
        return "apply" if content_type == _APPLY else "patch"
    return _VERBS.get(method, method.lower())
