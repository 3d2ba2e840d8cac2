"""Files of Civitai: the description of a version, and the header of its file."""

import asyncio

from pydantic import SecretStr

from lorapool_api.fetch.civitai import ENDPOINT, MAX_ANSWER_BYTES, CivitaiAccess, CivitaiRequest, read_version
from lorapool_api.kinds.artifacts import CivitaiSource
from lorapool_api.lora.declared import words_in
from lorapool_operator.sources.artifacts.found import FoundFile
from lorapool_operator.sources.header import FIRST_BYTES, header_of
from lorapool_operator.sources.http import PublicClient, small_body


class CivitaiClient:
    """Civitai, or the mirror of it that the installation names."""

    def __init__(
        self,
        client: PublicClient,
        endpoint: str | None = None,
        hosts: tuple[str, ...] = (),
        first_bytes: int = FIRST_BYTES,
    ) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`; `first_bytes` of a file are asked for at first."""
        self._client = client
        self._endpoint = endpoint or ENDPOINT
        self._hosts = hosts
        self._first_bytes = first_bytes

    async def find(self, source: CivitaiSource, token: SecretStr | None = None) -> FoundFile:
        """The file that the source means, and its header. Raises: SourceRefused, FactsError."""
        request = CivitaiRequest(source.version, source.model, source.wanted_file)
        access = CivitaiAccess(self._endpoint, self._hosts, token)
        async with self._client.opened(access.describe(request), {}) as response:
            body = await small_body(response, MAX_ANSWER_BYTES, request.shown)
        file = await asyncio.to_thread(read_version, body, request)
        header = await header_of(
            lambda headers: self._client.opened(access.download(file.url, request), headers),
            request.shown,
            self._first_bytes,
        )
        return FoundFile(
            str(source.version), file.name, file.sha256, header, tuple(dict.fromkeys(words_in(", ".join(file.words))))
        )
