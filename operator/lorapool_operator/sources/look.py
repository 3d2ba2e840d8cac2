"""One look at a source: which file it means, and what the file's header says. Each kind of source is a case here."""

import asyncio
from dataclasses import replace
from typing import Protocol, assert_never

from pydantic import SecretStr

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.artifacts import CivitaiSource, OciSource
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import AdapterSource, HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.kinds.stacks import StackSource
from lorapool_api.kinds.stores.objects import AnyStoredObject, AzureSource, GcsSource, S3Source
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.wire.credentials import Credentials, CredentialsRef, credentials_ref, plain_values, token_of
from lorapool_api.wire.sources.any import object_file
from lorapool_api.wire.sources.objects import AnyObject
from lorapool_common.stores.credentials import UnusableCredentials
from lorapool_common.stores.signing import public_url, url_for
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.sources.artifacts.found import FoundFile
from lorapool_operator.sources.header import HeaderText
from lorapool_operator.sources.hub import HubRepoFile


class FindsFiles(Protocol):
    """The Hub. Raises: SourceRefused."""

    async def find(self, source: HubSource, token: SecretStr | None) -> HubRepoFile: ...


class FetchesHeaders(Protocol):
    """Headers of remote files. Raises: SourceRefused, FactsError."""

    async def of_url(self, url: str, token: SecretStr | None) -> HeaderText: ...

    async def of_hub(self, url: str, token: SecretStr | None) -> HeaderText: ...

    async def of_object(self, url: str, shown: str, *, is_provider: bool, is_signed: bool) -> HeaderText: ...


class FindsArtifacts(Protocol):
    """Registries and Civitai. Raises: SourceRefused, FactsError."""

    async def find(self, source: OciSource | CivitaiSource, credentials: Credentials) -> FoundFile: ...


class ReadsFacts(Protocol):
    """What a header says of its file. Raises: SourceRefused, FactsError."""

    async def read(self, header: HeaderText) -> AdapterFacts: ...


class ReadsSecrets(Protocol):
    """Credentials of sources. Raises: SourceRefused."""

    async def read(self, ref: CredentialsRef) -> Credentials: ...


class SourceReader:
    """All kinds of sources, each asked in its own way."""

    def __init__(
        self,
        hub: FindsFiles,
        headers: FetchesHeaders,
        facts: ReadsFacts,
        artifacts: FindsArtifacts,
        secrets: ReadsSecrets,
    ) -> None:
        self._hub = hub
        self._headers = headers
        self._facts = facts
        self._artifacts = artifacts
        self._secrets = secrets

    async def look(self, source: AdapterSource, namespace: str) -> Resolution:
        """What the source of an object in that namespace is now. Raises: SourceRefused, FactsError."""
        ref = credentials_ref(source, namespace)
        credentials = {} if ref is None else await self._secrets.read(ref)
        token = token_of(credentials)
        match source.value:
            case HubSource() as hub:
                found = await self._hub.find(hub, token)
                facts = await self._facts.read(await self._headers.of_hub(found.url, token))
                known = _resolution(facts, found.revision, found.file, found.sha256, found.base_models, found.words)
                return replace(known, alone=found.alone or None, thumbnail=found.thumbnail)
            case UrlSource(url):
                header = await self._headers.of_url(url, token)
                found_at = _resolution(await self._facts.read(header), file=source.label.rpartition("/")[2])
                return replace(found_at, tag=header.etag)
            case OciSource() | CivitaiSource() as artifact:
                file = await self._artifacts.find(artifact, credentials)
                facts = await self._facts.read(file.header)
                return _resolution(facts, file.revision, file.file, file.sha256, words=file.words)
            case S3Source() | GcsSource() | AzureSource() as wanted:
                return await self._look_at_object(wanted, credentials)
            case PathSource() | StackSource() | UnknownSource():
                return Resolution()
            case other:
                assert_never(other)

    async def _look_at_object(self, wanted: AnyStoredObject, credentials: Credentials) -> Resolution:
        if wanted.uses_pod_identity:
            return Resolution()
        file = object_file(wanted)
        url = public_url(file) if wanted.anonymous else await _signed(file, credentials)
        is_provider, is_signed = file.endpoint is None, not wanted.anonymous
        header = await self._headers.of_object(url, file.label, is_provider=is_provider, is_signed=is_signed)
        return _resolution(await self._facts.read(header), header.etag, wanted.key.rpartition("/")[2])


async def _signed(file: AnyObject, credentials: Credentials) -> str:
    try:
        # In a thread, because the first one loads a library of some size.
        return await asyncio.to_thread(url_for, file, plain_values(credentials))
    except UnusableCredentials as error:
        raise SourceRefused(Reason.INVALID_SECRET, f"{file.label}: its Secret cannot be used: {error}") from error


def _resolution(
    facts: AdapterFacts,
    revision: str | None = None,
    file: str | None = None,
    sha256: str | None = None,
    base_models: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
) -> Resolution:
    return Resolution(
        revision=revision,
        file=file,
        sha256=sha256,
        size_bytes=facts.size_bytes,
        rank=facts.rank,
        targets=facts.target_count,
        format=facts.format,
        networks=facts.network_names,
        trigger_words=facts.declared.trigger_words or words or None,
        defaults=facts.declared.defaults,
        facts=facts,
        base_models=base_models,
    )
