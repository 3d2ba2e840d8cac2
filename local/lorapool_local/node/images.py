"""Which images this node can run, and as what."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_OWN_REPOSITORIES = ("lorapool-operator", "lorapool-runtime")


def repository(image: str) -> str:
    """The last part of an image's name, without registry, tag and digest."""
    without_digest = image.partition("@")[0]
    return without_digest.rpartition("/")[2].partition(":")[0]


@dataclass(frozen=True)
class Images:
    """lorapool's own images, in any registry and with any tag, run as this checkout; others only where named."""

    named: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def command(self, image: str) -> list[str] | None:
        """What the image would run; None for an image that this node does not have."""
        if image in self.named:
            return list(self.named[image])
        if repository(image) in _OWN_REPOSITORIES:
            return [sys.executable, "-m", "lorapool_api.cli"]
        return None
