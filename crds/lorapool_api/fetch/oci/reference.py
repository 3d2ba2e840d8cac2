"""A reference to an artifact in a registry: `registry/repository:tag` or `registry/repository@sha256:...`."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Self

from lorapool_api.fetch.hosts import scheme_of
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason

# Docker Hub is called by one name and answers at another.
DOCKER_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_DOCKER_HUB_SERVER: Final = "registry-1.docker.io"
_REFERENCE: Final = re.compile(
    r"(?P<registry>[^/@\s]+)/(?P<repository>[a-z0-9._/-]+)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class OciReference:
    """An artifact of a registry.

    Attributes:
        registry: as it is written, with its port if it names one.
        digest: of the manifest; where it is there the tag says nothing.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: SourceRefused (`SourceNotFound`): that is no reference."""
        parts = _REFERENCE.fullmatch(text)
        if parts is None or not (parts["tag"] or parts["digest"]):
            message = (
                f"{text} is no reference to an artifact: registry/repository:tag or registry/repository@sha256:..."
            )
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, message)
        repository = parts["repository"]
        if parts["registry"].lower() in DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        return cls(parts["registry"], repository, parts["tag"], parts["digest"])

    def at(self, digest: str) -> Self:
        """The manifest of that digest in the same repository."""
        return replace(self, tag=None, digest=digest)

    @property
    def server(self) -> str:
        """The host, and the port if one is named, that answers for the registry."""
        return _DOCKER_HUB_SERVER if self.registry.lower() in DOCKER_HUB else self.registry

    def url(self, hosts: Collection[str]) -> str:
        """The repository's address in the API; `hosts` are those of `lorapool_api.fetch.hosts`."""
        return f"{scheme_of(self.server, hosts)}://{self.server}/v2/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")
