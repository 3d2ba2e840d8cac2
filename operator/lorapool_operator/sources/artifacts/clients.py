"""All kinds of artifacts, each asked in its own way."""

from types import TracebackType
from typing import Self

from lorapool_api.kinds.artifacts import CivitaiSource, OciSource
from lorapool_api.wire.credentials import Credentials, token_of
from lorapool_operator.sources.artifacts.civitai import CivitaiClient
from lorapool_operator.sources.artifacts.found import FoundFile
from lorapool_operator.sources.artifacts.oci import OciClient
from lorapool_operator.sources.http import PublicClient


class ArtifactClients:
    """Registries and Civitai, over connections that nobody else has."""

    def __init__(self, hosts: tuple[str, ...], civitai_endpoint: str | None = None) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`."""
        self._public = PublicClient()
        self._oci = OciClient(self._public, hosts)
        self._civitai = CivitaiClient(self._public, civitai_endpoint, hosts)

    async def __aenter__(self) -> Self:
        await self._public.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._public.__aexit__(kind, error, at)

    async def find(self, source: OciSource | CivitaiSource, credentials: Credentials) -> FoundFile:
        """The weights file that the source means today, and its header. Raises: SourceRefused, FactsError."""
        if isinstance(source, OciSource):
            return await self._oci.find(source, credentials)
        return await self._civitai.find(source, token_of(credentials))
