"""Which version of an adapter a request gets: pure."""

from dataclasses import dataclass

from lorapool_api.kinds.adapter import Adapter


@dataclass(frozen=True)
class ServedVersion:
    """A file that pods can serve an adapter from.

    Attributes:
        key: in their catalog.
        sha256: None where no pod has read the file yet.
    """

    key: str
    sha256: str | None


def served_version(adapter: Adapter) -> ServedVersion:
    """The one that requests get which ask for none in particular."""
    serving = adapter.status.serving
    if serving is not None:
        return ServedVersion(serving.key, serving.sha256)
    # The operator is of a version that knows but one.
    resolved = adapter.status.resolved
    return ServedVersion(adapter.key, resolved.sha256 if resolved else None)
