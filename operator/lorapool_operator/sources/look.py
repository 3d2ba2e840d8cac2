"""One look at a source: which file it means, and what the file's header says. Each kind of source is a case here."""

from typing import Protocol, assert_never

from lorapool_api.kinds.sources import AdapterSource, HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.lora.facts import AdapterFacts
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.sources.header import HeaderText
from lorapool_operator.sources.hub import HubRepoFile


class FindsFiles(Protocol):
    """The Hub. Raises: SourceRefused."""

    async def find(self, source: HubSource) -> HubRepoFile: ...


class FetchesHeaders(Protocol):
    """Headers of remote files. Raises: SourceRefused, FactsError."""

    async def of_url(self, url: str) -> HeaderText: ...

    async def of_hub(self, url: str) -> HeaderText: ...


class ReadsFacts(Protocol):
    """What a header says of its file. Raises: SourceRefused, FactsError."""

    async def read(self, header: HeaderText) -> AdapterFacts: ...


class SourceReader:
    """All kinds of sources, each asked in its own way."""

    def __init__(self, hub: FindsFiles, headers: FetchesHeaders, facts: ReadsFacts) -> None:
        self._hub = hub
        self._headers = headers
        self._facts = facts

    async def look(self, source: AdapterSource) -> Resolution:
        """What the source is now. Raises: SourceRefused, FactsError."""
        match source.value:
            case HubSource() as hub:
                found = await self._hub.find(hub)
                facts = await self._facts.read(await self._headers.of_hub(found.url))
                return _resolution(facts, found.revision, found.file, found.sha256, found.base_models, found.words)
            case UrlSource(url):
                facts = await self._facts.read(await self._headers.of_url(url))
                return _resolution(facts, file=source.label.rpartition("/")[2])
            case PathSource() | UnknownSource():
                return Resolution()
            case other:
                assert_never(other)


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
