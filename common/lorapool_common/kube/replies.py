"""What the API server answers: objects, and the `Status` that says why not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

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
        parsed = from_json(text)
    except ValueError as error:
        raise ApiError(0, "Malformed", f"the API server's answer is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ApiError(0, "Malformed", "the API server's answer is no object")
    return parsed


def refusal(status: int, content: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error of an answer with that HTTP status."""
    retry_after_s = _seconds(headers.get("Retry-After"))
    try:
        return status_error(parse_object(content), status, retry_after_s)
    except ApiError:
        return ApiError(status, str(status), content.decode(errors="replace")[:300], retry_after_s=retry_after_s)


def status_error(said: Manifest, status: int | None = None, retry_after_s: float = 0.0) -> ApiError:
    """The error of a `Status` object; without an HTTP status its own code counts."""
    code = status if status is not None else int(said.get("code") or 500)
    reason, message = str(said.get("reason") or code), str(said.get("message") or said)[:4000]
    return ApiError(code, reason, message, _causes(said), retry_after_s)


def _seconds(text: str | None) -> float:
    """Of a header; 0 where it says none, or a date, which the API server never sends."""
    return float(text) if text is not None and text.isascii() and text.isdecimal() else 0.0


def _causes(status: Mapping[str, Any]) -> Collection[str]:
    causes = (status.get("details") or {}).get("causes") or ()
    return [str(cause.get("reason")) for cause in causes]
