"""An adapter on disk and in host memory, as the rest of the runtime sees it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lorapool_api.facts import AdapterFacts


@dataclass(frozen=True)
class AdapterFile:
    """A checked file on disk.

    Attributes:
        path: where it lies; the content never changes, its name is its sha256.
        facts: what its header says.
        peft_config: the `adapter_config.json` that came with it, where there was one.
    """

    path: Path
    sha256: str
    facts: AdapterFacts
    peft_config: bytes | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """The same for the same change of a base: the file's sha256, and that of the configuration beside it."""
        if self.peft_config is None:
            return self.sha256
        return f"{self.sha256}+{hashlib.sha256(self.peft_config).hexdigest()[:16]}"


class HostAdapter(Protocol):
    """An adapter's weights in host memory, in the form that its engine takes."""

    @property
    def identity(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
