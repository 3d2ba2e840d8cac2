"""Which version of an adapter a request gets: the one that is served, or the one that it pins: pure."""

import hashlib
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.adapter import Adapter, AdapterVersion, CandidateVersion
from lorapool_gateway.errors import BadRequest, VersionNotServed

_SHA256: Final = re.compile(r"sha256:([0-9a-f]{12,64})")
_LEAST_OF_COMMIT: Final = 7


@dataclass(frozen=True)
class ServedVersion:
    """A file that pods can serve an adapter from.

    Attributes:
        key: in their catalog.
        sha256: None where no pod has read the file yet.
    """

    key: str
    sha256: str | None


def served_version(adapter: Adapter, sha256: str | None = None, draw: bytes | None = None) -> ServedVersion:
    """The one that is served; with a sha256 the one that is that file, whatever is served.

    Args:
        draw: what decides whether the request is among those that get a canary; None: it is not.

    Raises:
        VersionNotServed: there is no such version any more.
    """
    if sha256 is not None:
        return pinned_version(adapter, f"sha256:{sha256}")
    serving, candidate = adapter.status.serving, adapter.status.candidate
    if serving is not None and candidate is not None and _gets_canary(candidate, draw):
        return ServedVersion(candidate.key, candidate.sha256)
    if serving is not None:
        return ServedVersion(serving.key, serving.sha256)
    # The operator is of a version that knows but one.
    resolved = adapter.status.resolved
    return ServedVersion(adapter.key, resolved.sha256 if resolved else None)


def _gets_canary(candidate: CandidateVersion, draw: bytes | None) -> bool:
    """The same for the same draw in all gateways. A share that grows keeps those that it had."""
    if candidate.percent is None or draw is None:
        return False
    digest = hashlib.sha256(candidate.key.encode() + b"\n" + draw).digest()
    return int.from_bytes(digest[:8]) % 100 < candidate.percent


def split_pin(name: str, known: Container[str]) -> tuple[str, str | None]:
    """The name of a model, and the version that is pinned behind an `@`; a name that is known as a whole pins none."""
    whole, at, pin = name.rpartition("@")
    return (whole, pin) if at and name not in known and whole in known else (name, None)


def pinned_version(adapter: Adapter, pin: str) -> ServedVersion:
    """The version with that sha256 (`sha256:` and 12 characters or more), of that commit (7 or more), or of that branch
    as it is written.

    Raises:
        BadRequest: it is none of these.
        VersionNotServed: pods have none that is that, or more than one is.
    """
    match = _SHA256.fullmatch(pin)
    if match is None and (not pin or pin.startswith("sha256:")):
        raise BadRequest("a version is pinned by sha256: and 12 to 64 hexadecimal digits, or by its revision", "model")
    versions = _versions(adapter)
    found = {v.key: v for v in versions if (_has(v, match[1]) if match else _is_of(v, pin))}
    if len(found) != 1:
        raise VersionNotServed(adapter.key, pin, [_shown(version) for version in versions])
    (version,) = found.values()
    return ServedVersion(version.key, version.sha256)


def _versions(adapter: Adapter) -> list[AdapterVersion]:
    """Those that pods have read, or had: of a candidate only when one has verified it."""
    status = adapter.status
    candidate = status.candidate if status.candidate and status.candidate.verified_time else None
    if status.serving is None and status.resolved is not None:
        known = AdapterVersion(**status.resolved.model_dump(), key=adapter.key, source=adapter.spec.source)
        return [known] if known.sha256 else []
    return [v for v in (status.serving, candidate, status.previous) if v is not None and v.key and v.sha256]


def _has(version: AdapterVersion, digits: str) -> bool:
    return version.sha256 is not None and version.sha256.startswith(digits)


def _is_of(version: AdapterVersion, pin: str) -> bool:
    hub = version.source.hub
    is_commit = len(pin) >= _LEAST_OF_COMMIT and (version.revision or "").startswith(pin)
    return is_commit or (hub is not None and hub.revision == pin)


def _shown(version: AdapterVersion) -> str:
    return f"sha256:{version.sha256}" + (f" (revision {version.revision})" if version.revision else "")
