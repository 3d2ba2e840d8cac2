"""What the pods of a pool say to each other about files, and what the operator tells each of them about the others."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import Base64Bytes, Field

from lorapool_api.kinds.sources import Sha256
from lorapool_api.wire.catalog import CatalogDelta, CatalogEntry
from lorapool_api.wire.message import Wire
from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.state import Label, Number

# The most that lies beside a file of weights: adapter_config.json and embeddings.safetensors, in base64.
FOUND_MAX_BYTES: Final = 6 << 20


class Assignment(Wire):
    """A pod's place among the pods of its pool, and what it does while nobody asks."""

    digest: str = Field(description="Says whether two assignments are the same.")
    name: Label = Field(description="The pod that this is for, as the others know it.")
    peers: dict[Label, Label] = Field(
        default={},
        description="Control ports of the pool's pods that run, `host:port` by name; itself too.",
        max_length=1000,
    )
    holds: frozenset[str] = Field(
        default=frozenset(), description="Keys of the adapters that the pod brings before anybody asks."
    )
    in_memory: bool = Field(default=False, description="Whether it brings them to host memory; else to its disk.")
    first: frozenset[str] = Field(
        default=frozenset(),
        description="Keys of those that it has before it takes requests: a pod that it replaces serves them.",
    )
    sleep_after_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="After so long without a request its base leaves the device, until the next one. None: it stays, "
        "and one that has left comes back.",
    )
    token: str | None = Field(
        default=None,
        description="By which the pods of the pool know each other. None: it is in a file of the pod.",
        max_length=256,
        repr=False,
    )

    @classmethod
    def of(
        cls,
        name: str,
        peers: Mapping[str, str],
        holds: Iterable[str],
        *,
        in_memory: bool = False,
        first: Iterable[str] = (),
    ) -> "Assignment":
        """The assignment, with its digest."""
        held, needed = frozenset(holds), frozenset(first)
        parts = [name, sorted(peers.items()), sorted(held), in_memory, *([sorted(needed)] if needed else [])]
        digest = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
        return cls(digest=digest, name=name, peers=dict(peers), holds=held, in_memory=in_memory, first=needed)

    def with_sleep(self, after_s: float | None) -> "Assignment":
        """The assignment of a pod that may sleep; the same one where it may not."""
        if after_s is None:
            return self
        digest = hashlib.sha256(f"{self.digest} sleep {after_s:g}".encode()).hexdigest()
        return self.model_copy(update={"digest": digest, "sleep_after_s": after_s})

    def with_token(self, token: str) -> "Assignment":
        """The assignment with the token; its digest says of the token no more than whether it is the same."""
        digest = hashlib.sha256(f"{self.digest} {token}".encode()).hexdigest()
        return self.model_copy(update={"digest": digest, "token": token})


class AssignmentAndDelta(Assignment):
    """An assignment, and the change of the catalog that goes with it, in one call.

    A pod of an earlier version takes the assignment alone. So does one that holds another catalog than the change
    starts from: what it holds then, its answer says.
    """

    delta: CatalogDelta | None = None

    @property
    def alone(self) -> Assignment:
        return Assignment(**{name: getattr(self, name) for name in Assignment.model_fields})


def encoded_assignment(assignment: Assignment, delta: CatalogDelta | None = None) -> bytes:
    """As it is sent; the change of the catalog as it was made for all pods that hold the same."""
    text = assignment.model_dump_json().encode()
    return text if delta is None else b'%b,"delta":%b}' % (text[:-1], delta.encoded)


class FileQuery(Wire):
    """Which file a pod looks for: the one that an entry of the catalog means."""

    key: Annotated[str, Field(max_length=512)]
    generation: Number = Field(
        default=0, description="Of the entry; a pod that has an earlier one may have another file."
    )
    source: FileSource
    sha256: Sha256 | None = None

    @classmethod
    def of(cls, entry: CatalogEntry) -> "FileQuery":
        return cls(key=entry.key, generation=entry.generation, source=entry.source, sha256=entry.sha256)


class FileFound(Wire):
    """What a pod has on its disk, checked, for that entry."""

    sha256: Sha256
    size_bytes: Number
    peft_config: Base64Bytes | None = Field(default=None, description="The adapter_config.json beside the weights.")
    embeddings: Base64Bytes | None = Field(default=None, description="The embeddings.safetensors beside the weights.")
