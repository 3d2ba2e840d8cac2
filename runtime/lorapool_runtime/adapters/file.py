"""An adapter on disk and in host memory, as the rest of the runtime sees it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lorapool_api.lora.facts import AdapterFacts


@dataclass(frozen=True)
class Beside:
    """Small files in the same folder as the weights that have a say in what they mean.

    Attributes:
        peft_config: an `adapter_config.json`, beside weights in PEFT's layout.
        embeddings: an `embeddings.safetensors`: new words that were learned with the adapter.
    """

    peft_config: bytes | None = field(default=None, repr=False)
    embeddings: bytes | None = field(default=None, repr=False)

    @property
    def digests(self) -> tuple[str, ...]:
        found = (("c", self.peft_config), ("e", self.embeddings))
        return tuple(f"{kind}{hashlib.sha256(content).hexdigest()[:16]}" for kind, content in found if content)


@dataclass(frozen=True)
class AdapterFile:
    """A checked file on disk.

    Attributes:
        path: where it lies; the content never changes, its name is its sha256.
        facts: what its header says.
        beside: what came with it.
    """

    path: Path
    sha256: str
    facts: AdapterFacts
    beside: Beside = Beside()

    @property
    def identity(self) -> str:
        """The same for the same change of a base: the file's sha256, and those of the files beside it."""
        return "+".join((self.sha256, *self.beside.digests))


@dataclass(frozen=True)
class Chosen:
    """An adapter that a request names: its checked file, and the strength. The weights are read when its turn comes."""

    key: str
    file: AdapterFile
    scale: float


class HostAdapter(Protocol):
    """An adapter's weights in host memory, in the form that its engine takes."""

    @property
    def identity(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
