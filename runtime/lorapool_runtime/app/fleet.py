"""This pod among the pods of its pool: what the operator assigned to it, and what it gives to the others."""

import asyncio
from pathlib import Path

from lorapool_api.wire.fleet import Assignment, FileFound, FileQuery
from lorapool_api.wire.reply import ErrorCode
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.catalog.registry import Registry
from lorapool_runtime.control_token import ControlToken
from lorapool_runtime.errors import RequestError
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.pods.peers import Peers


class Fleet:
    """Lives on the event loop."""

    def __init__(
        self, peers: Peers, token: ControlToken, registry: Registry, blobs: BlobFolder, changes: Changes
    ) -> None:
        self._peers = peers
        self._token = token
        self._registry = registry
        self._blobs = blobs
        self._changes = changes
        self.assignment: Assignment | None = None

    def follow(self, assignment: Assignment) -> None:
        """Follow this assignment from now on."""
        if self.assignment is None or assignment.digest != self.assignment.digest:
            self.assignment = assignment
            self._token.tell(assignment.token)
            self._peers.follow(assignment)
            self._registry.hold(assignment.holds, in_memory=assignment.in_memory)
            self._changes.note()

    def find_now(self, query: FileQuery) -> FileFound:
        """The file of an entry that is on this pod's disk already. Raises: RequestError (`UnknownAdapter`)."""
        slot = self._registry.slot(query.key)
        is_older = slot is not None and slot.entry.generation < query.generation
        if slot is None or slot.file is None or is_older or slot.entry.source != query.source:
            raise RequestError(ErrorCode.UNKNOWN_ADAPTER, f"this pod has no file of adapter {query.key!r}")
        return _found(slot.file)

    async def find(self, query: FileQuery, wait_s: float) -> FileFound:
        """The file of an entry, as soon as it is on this pod's disk.

        Raises:
            RequestError: `UnknownAdapter`; `AdapterFailed` with the reason; `NotReady` while this pod itself waits for
                another one; `AdapterNotReady` where the file is still on its way after `wait_s`.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + wait_s
        while True:
            self._registry.weights.request(query.key)
            slot = self._registry.slot(query.key)
            is_older = slot is not None and slot.entry.generation < query.generation
            if slot is None or is_older or slot.entry.source != query.source:
                raise RequestError(ErrorCode.UNKNOWN_ADAPTER, f"this pod has no adapter {query.key!r} of that source")
            if (error := slot.error) is not None:
                retryable = error.transient
                raise RequestError(ErrorCode.ADAPTER_FAILED, error.message, reason=error.reason, retryable=retryable)
            if slot.file is not None:
                return _found(slot.file)
            if self._peers.is_waiting(query.key):
                raise RequestError(ErrorCode.NOT_READY, "this pod waits for another one to have it", retryable=True)
            left_s = ends_at - clock()
            if left_s <= 0:
                raise RequestError(ErrorCode.ADAPTER_NOT_READY, f"adapter {query.key} is on its way", retryable=True)
            await slot.changed(left_s)

    def blob(self, sha256: str) -> Path:
        """A file of this pod's disk, its content proved. Blocking. Raises: RequestError (`UnknownAdapter`)."""
        blob = self._blobs.find(sha256)
        if blob is None:
            raise RequestError(ErrorCode.UNKNOWN_ADAPTER, "this pod has no such file")
        return blob.path

    def content(self, found: FileFound) -> bytes | None:
        """A small file that was found, whole. Blocking. None: it has left the disk, or is another one now."""
        try:
            with self.blob(found.sha256).open("rb") as file:
                content = file.read(found.size_bytes + 1)
        except (RequestError, OSError):
            return None
        return content if len(content) == found.size_bytes else None

    async def close(self) -> None:
        """Hang up on the others."""
        await self._peers.close()


def _found(file: AdapterFile) -> FileFound:
    sidecars = file.sidecars
    return FileFound.model_construct(
        sha256=file.sha256,
        size_bytes=file.facts.size_bytes,
        peft_config=sidecars.peft_config,
        embeddings=sidecars.embeddings,
    )
