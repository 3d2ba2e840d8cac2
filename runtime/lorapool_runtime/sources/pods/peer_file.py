"""A file that another pod has, ready to be fetched from there."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from lorapool_api.wire.fleet import FileFound
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected, write_hashed
from lorapool_runtime.sources.pods import transfer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class PeerFile:
    """A file that another pod has.

    Attributes:
        found: what it is.
        hosts: `host:port` of pods to fetch it from: the one that has it, then those that may.
        content: what came with the answer as the file, its sha256 yet to be checked; None: it is to be fetched.
    """

    found: FileFound
    hosts: tuple[str, ...]
    token: str = field(repr=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def sidecars(self) -> Sidecars:
        """What lies beside it."""
        return Sidecars(self.found.peft_config, self.found.embeddings)

    def fetch(self, target: Path, expected: Expected, cancelled: Callable[[], bool]) -> str:
        """Bring it to `target` and return its sha256. Blocking. Raises: AdapterError."""
        wanted = replace(expected, sha256=self.found.sha256)
        if self.content is not None:
            try:
                return write_hashed((self.content,), target, wanted, cancelled)
            except AdapterError as error:
                if cancelled():
                    raise
                log.warning("a pod sent another file", host=self.hosts[0], error=error.message)
                transfer.fetch(self.hosts[1:], self.token, target, wanted, cancelled)
                return self.found.sha256
        transfer.fetch(self.hosts, self.token, target, wanted, cancelled)
        return self.found.sha256
