"""`civitai` sources: a file of a version."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from lorapool_api.fetch.civitai import (
    ENDPOINT,
    MAX_ANSWER_BYTES,
    CivitaiAccess,
    CivitaiRepoFile,
    CivitaiRequest,
    read_version,
)
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.artifacts import CivitaiSource
from lorapool_api.wire.sources.artifacts import CivitaiFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.artifacts.small import read_small
from lorapool_runtime.sources.limits import Cancelled, Expected, Write
from lorapool_runtime.sources.url import download


class CivitaiDownload:
    """A file of Civitai, or of the mirror of it that the installation names."""

    def __init__(
        self, source: CivitaiFile, hosts: Sequence[str], endpoint: str | None = None, token: SecretStr | None = None
    ) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`."""
        self._request = CivitaiRequest(source.version, file=source.file)
        self._access = CivitaiAccess(endpoint or ENDPOINT, hosts, token)

    def fetch(self, target: Path, expected: Expected, cancelled: Cancelled, write: Write) -> str:
        """Download to `target` and return the sha256.

        Raises:
            AdapterError: what Civitai answers instead, or another content than it, or the entry, says.
        """
        file = _described(self._access, self._request)
        if file.sha256 is not None:
            expected.check_sha256(file.sha256)
        exactly = Expected(file.sha256 or expected.sha256, expected.size_bytes, expected.max_bytes)
        return download(lambda: self._access.download(file.url, self._request), target, exactly, cancelled, write)


def resolve(source: CivitaiSource, endpoint: str | None = None) -> CivitaiFile:
    """The file that a manifest's source means today, asked for as anybody. Raises: AdapterError."""
    request = CivitaiRequest(source.version, source.model, source.wanted_file)
    file = _described(CivitaiAccess(endpoint or ENDPOINT, ()), request)
    return CivitaiFile(version=source.version, file=file.name)


def _described(access: CivitaiAccess, request: CivitaiRequest) -> CivitaiRepoFile:
    body = read_small(lambda: access.describe(request), MAX_ANSWER_BYTES)
    try:
        return read_version(body, request)
    except SourceRefused as error:
        raise AdapterError.of(error) from error
