"""An adapter on disk and in host memory, as the rest of the runtime sees it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.wire.weighting.scale import Weighting


@dataclass(frozen=True)
class Sidecars:
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
        sidecars: what came with it.
    """

    path: Path
    sha256: str
    facts: AdapterFacts
    sidecars: Sidecars = Sidecars()

    @property
    def identity(self) -> str:
        """The same for the same change of a base: the file's sha256, and those of the files beside it."""
        return "+".join((self.sha256, *self.sidecars.digests))


class HostAdapter(Protocol):
    """An adapter's weights in host memory, in the form that its engine takes."""

    @property
    def identity(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...


class _Identified(Protocol):
    @property
    def identity(self) -> str: ...


Adapter = TypeVar("Adapter", bound=_Identified, covariant=True)

Other = TypeVar("Other", bound=_Identified)


@dataclass(frozen=True)
class ScaledAdapter(Generic[Adapter]):
    """An adapter at a strength: its file while a request waits, then its weights in host memory, then on the device.

    Attributes:
        scale: a number, or what says it of each step and each part of the base; never the adapter's own.
        key: what a request calls it. Two that differ in nothing else do the same to a base, and are equal.
    """

    adapter: Adapter
    scale: float | Weighting
    key: str = field(default="", compare=False)

    def of(self, adapter: Other) -> "ScaledAdapter[Other]":
        """The same use of it, in another form."""
        return ScaledAdapter(adapter, self.scale, self.key)
