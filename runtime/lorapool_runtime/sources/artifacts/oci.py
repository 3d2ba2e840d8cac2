"""`oci` sources: layers of an artifact in a registry, by its manifest's digest."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from lorapool_api.fetch.oci.access import MAX_TOKEN_ANSWER_BYTES, PullUnauthorized, RegistryAccess
from lorapool_api.fetch.oci.manifest import (
    ACCEPT,
    MAX_MANIFEST_BYTES,
    OciIndex,
    OciLayer,
    OciManifest,
    choose_layer,
    read_manifest,
)
from lorapool_api.fetch.oci.reference import OciReference
from lorapool_api.fetch.policy import SourceRefused, UrlFetch
from lorapool_api.kinds.artifacts import OciSource
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.sources.artifacts import OciFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.artifacts.small import read_small
from lorapool_runtime.sources.limits import Cancelled, Expected, Write
from lorapool_runtime.sources.url import download

T = TypeVar("T")


class RegistryFile:
    """A file of an artifact in a registry."""

    def __init__(
        self, source: OciFile, hosts: Sequence[str], credentials: Mapping[str, SecretStr] | None = None
    ) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`. Raises: AdapterError: the reference is none."""
        self._source = source
        self._repository = _PullSession(_parsed(source.ref), hosts, credentials)

    def fetch(self, target: Path, expected: Expected, cancelled: Cancelled, write: Write) -> str:
        """Download the weights to `target` and return their sha256, which the manifest says before.

        Raises:
            AdapterError: what the registry answers instead, or another content than the manifest and the entry say.
        """
        layer = self._repository.manifest().named(self._source.file)
        if layer is None:
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{self._source.ref} has no layer {self._source.file}")
        expected.check_sha256(layer.sha256)
        expected.check_size(layer.size_bytes)
        exactly = Expected(layer.sha256, layer.size_bytes, expected.max_bytes)
        return self._repository.blob(layer, lambda begin: download(begin, target, exactly, cancelled, write))

    def sidecar(self, name: str, max_bytes: int) -> bytes | None:
        """The small file of that name in the same folder of the artifact, None where there is none.

        Raises: AdapterError, as `fetch` does.
        """
        layer = self._repository.manifest().sidecar(self._source.file, name)
        if layer is None or layer.is_archive:
            return None
        expected = Expected(layer.sha256, layer.size_bytes, max_bytes)
        expected.check_size(layer.size_bytes)
        body = self._repository.blob(layer, lambda begin: read_small(begin, max_bytes))
        expected.check_sha256(hashlib.sha256(body).hexdigest())
        return body


def resolve(source: OciSource, hosts: Sequence[str]) -> OciFile:
    """The file that a manifest's source means today, asked for as anybody. Raises: AdapterError."""
    manifest = _PullSession(_parsed(source.ref), hosts, None).manifest()
    try:
        layer = choose_layer(manifest, source.file, source.ref)
    except SourceRefused as error:
        raise AdapterError.of(error) from error
    return OciFile(ref=f"{source.repository}@{manifest.digest}", file=layer.name)


class _PullSession:
    """A repository that is asked as its challenge asks for. Raises: AdapterError."""

    def __init__(
        self, reference: OciReference, hosts: Sequence[str], credentials: Mapping[str, SecretStr] | None
    ) -> None:
        self._reference = reference
        self._access = RegistryAccess(reference, hosts, credentials)

    def manifest(self) -> OciManifest:
        found = self._one(self._reference)
        if isinstance(found, OciIndex):
            found = self._one(self._reference.at(found.only))
        if isinstance(found, OciIndex):
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{self._reference} is a list of lists")
        return found

    def blob(self, layer: OciLayer, work: Callable[[Callable[[], UrlFetch]], T]) -> T:
        """What the work gives for the fetch of that layer."""
        return self._granted(lambda: work(lambda: self._access.fetch(f"blobs/{layer.digest}", "layer")))

    def _one(self, reference: OciReference) -> OciManifest | OciIndex:
        path = f"manifests/{reference.digest or reference.tag}"
        body = self._granted(
            lambda: read_small(lambda: self._access.fetch(path, "manifest"), MAX_MANIFEST_BYTES, {"accept": ACCEPT})
        )
        try:
            return read_manifest(body, str(reference), reference.digest)
        except SourceRefused as error:
            raise AdapterError.of(error) from error

    def _granted(self, work: Callable[[], T]) -> T:
        """What the work gives, once more where the registry asks first, or again, who is there."""
        try:
            return work()
        except AdapterError as error:
            if not isinstance(error.__cause__, PullUnauthorized):
                raise
            self._ask_for_token(error.__cause__)
        return work()

    def _ask_for_token(self, refused: PullUnauthorized) -> None:
        try:
            fetch = self._access.challenged(refused)
            if fetch is not None:
                self._access.granted(read_small(lambda: fetch, MAX_TOKEN_ANSWER_BYTES))
        except SourceRefused as error:
            raise AdapterError.of(error) from error


def _parsed(ref: str) -> OciReference:
    try:
        return OciReference.parse(ref)
    except SourceRefused as error:
        raise AdapterError.of(error) from error
