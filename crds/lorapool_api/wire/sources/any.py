"""Any of the sources, and which one of them an adapter's manifest means."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, assert_never, get_args

from pydantic import Discriminator, Field, Tag

from lorapool_api.kinds.artifacts import CivitaiSource, OciSource
from lorapool_api.kinds.sources import AdapterSource, HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.kinds.stacks import StackSource
from lorapool_api.kinds.stores.objects import AnyStoredObject, AzureSource, GcsSource, S3Source, StoredObject
from lorapool_api.wire.credentials import credentials_ref
from lorapool_api.wire.sources.artifacts import CivitaiFile, OciFile
from lorapool_api.wire.sources.basic import HubFile, PathFile, UrlFile
from lorapool_api.wire.sources.objects import AnyObject, AzureFile, GcsFile, S3File
from lorapool_api.wire.sources.other import OtherFile

_Known = HubFile | UrlFile | PathFile | S3File | GcsFile | AzureFile | OciFile | CivitaiFile
_KINDS: Final = frozenset(known.model_fields["kind"].default for known in get_args(_Known))


def _known_or_other(source: Any) -> Literal["known", "other"]:
    """A broken source of a known kind is none of another kind: what is wrong with it is said."""
    kind = source.get("kind") if isinstance(source, Mapping) else getattr(source, "kind", None)
    return "known" if kind in _KINDS else "other"


FileSource = Annotated[
    Annotated[_Known, Field(discriminator="kind"), Tag("known")] | Annotated[OtherFile, Tag("other")],
    Discriminator(_known_or_other),
]


class NoFileSource(ValueError):
    """The manifest's source and what was found out about it do not make a file that a pod can fetch."""


def file_source(
    source: AdapterSource, revision: str | None = None, file: str | None = None, namespace: str | None = None
) -> FileSource:
    """What pods get for the source of a manifest.

    Args:
        revision, file: what it was resolved to, for the kinds that are.
        namespace: of the manifest's object, for the Secrets that it names; None: there are no Secrets.

    Raises:
        NoFileSource: it is no file or none that this version knows, or its revision or file is not known.
    """
    found = _without_credentials(source, revision, file)
    credentials = None if namespace is None else credentials_ref(source, namespace)
    return found if credentials is None else found.model_copy(update={"credentials": credentials})


def _without_credentials(source: AdapterSource, revision: str | None, file: str | None) -> FileSource:
    match source.value:
        case HubSource(repo=repo) if revision and file:
            return HubFile(repo=repo, revision=revision, file=file)
        case UrlSource(url):
            return UrlFile(url=url)
        case PathSource(path):
            return PathFile(path=path)
        case OciSource(repository=repository) if revision and file:
            return OciFile(ref=f"{repository}@{revision}", file=file)
        case CivitaiSource(version=version) if file:
            return CivitaiFile(version=version, file=file)
        case S3Source() | GcsSource() | AzureSource() as wanted:
            return object_file(wanted, revision)
        case HubSource() | OciSource() | CivitaiSource() | StackSource() | UnknownSource():
            raise NoFileSource(source.label)
        case other:
            assert_never(other)


def object_file(source: AnyStoredObject, etag: str | None = None) -> AnyObject:
    """What pods get for an object in a store."""
    match source:
        case S3Source():
            return S3File(container=source.bucket, region=source.region, **_stored(source, etag))
        case GcsSource():
            return GcsFile(container=source.bucket, **_stored(source, etag))
        case AzureSource():
            return AzureFile(container=source.container, account=source.account, **_stored(source, etag))
        case other:
            assert_never(other)


def _stored(source: StoredObject, etag: str | None) -> dict[str, Any]:
    return {"key": source.key, "endpoint": source.endpoint, "anonymous": source.anonymous, "etag": etag}
