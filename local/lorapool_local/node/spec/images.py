"""Which images this node can run, and as what."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lorapool_local.node.spec.user import ROOT
from lorapool_local.sandbox.rootfs import TMP

_OWN_REPOSITORIES = ("lorapool-operator", "lorapool-runtime")
# As the Dockerfiles have them.
OWN_USER = 65532
OWN_HOME = TMP


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
        return [sys.executable, "-m", "lorapool_common.cli"] if self._is_own(image) else None

    def user(self, image: str) -> int:
        """Who the image runs as where no manifest says so."""
        return OWN_USER if self._is_own(image) else ROOT

    def home(self, image: str, user: int) -> str:
        """$HOME: the image's, else what a container runtime makes of /etc/passwd."""
        if self._is_own(image):
            return OWN_HOME
        return "/root" if user == ROOT else "/"

    def _is_own(self, image: str) -> bool:
        return image not in self.named and repository(image) in _OWN_REPOSITORIES
