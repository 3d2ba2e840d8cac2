"""What the API server answers: objects, and the `Status` that says why not."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Manifest


@dataclass(frozen=True)
class Listing:
    """A list, and the version of the cluster that it shows: a watch from there misses nothing."""

    items: list[Manifest]
    version: str


def parse_object(text: bytes) -> Manifest:
    """A JSON object. Raises: ApiError, where it is none."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ApiError(0, "Malformed", f"the API server's answer is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ApiError(0, "Malformed", "the API server's answer is no object")
    return parsed


def refusal(status: int, content: bytes) -> ApiError:
    """The error of an answer with that HTTP status."""
    try:
        return status_error(parse_object(content), status)
    except ApiError:
        return ApiError(status, str(status), content.decode(errors="replace")[:300])


def status_error(said: Manifest, status: int | None = None) -> ApiError:
    """The error of a `Status` object; without an HTTP status its own code counts."""
    code = status if status is not None else int(said.get("code") or 500)
    return ApiError(code, str(said.get("reason") or code), str(said.get("message") or said)[:4000], _causes(said))


def _causes(status: Mapping[str, Any]) -> Collection[str]:
    causes = (status.get("details") or {}).get("causes") or ()
    return [str(cause.get("reason")) for cause in causes]
