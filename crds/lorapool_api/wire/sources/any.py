"""Any of the sources, and which one of them an adapter's manifest means."""

from typing import Annotated, assert_never

from pydantic import Field

from lorapool_api.kinds.sources import AdapterSource, HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.wire.sources.basic import HubFile, PathFile, UrlFile

FileSource = Annotated[HubFile | UrlFile | PathFile, Field(discriminator="kind")]


class NoFileSource(ValueError):
    """The manifest's source and what was found out about it do not make a file that a pod can fetch."""


def file_source(source: AdapterSource, revision: str | None = None, file: str | None = None) -> FileSource:
    """What pods get for the source of a manifest.

    Args:
        revision, file: what it was resolved to, for the kinds that are.

    Raises:
        NoFileSource: it is none that this version knows, or it needs a revision or a file that is not there.
    """
    match source.value:
        case HubSource(repo=repo) if revision and file:
            return HubFile(repo=repo, revision=revision, file=file)
        case UrlSource(url):
            return UrlFile(url=url)
        case PathSource(path):
            return PathFile(path=path)
        case HubSource() | UnknownSource():
            raise NoFileSource(source.label)
        case other:
            assert_never(other)
