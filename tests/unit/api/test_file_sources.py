"""Sources on the wire: what is true of a kind."""

import pytest

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import HubFile
from lorapool_api.wire.sources.objects import AzureFile, GcsFile, S3File


@pytest.mark.parametrize(
    "source",
    [
        HubFile(repo="a/b", revision="c" * 40, file="x.safetensors"),
        S3File(container="loras", key="x.safetensors", etag="e"),
        GcsFile(container="loras", key="x.safetensors"),
        AzureFile(container="loras", key="x.safetensors", account="acc"),
    ],
)
def test_an_entry_is_read_as_it_was_written(source: HubFile | S3File | GcsFile | AzureFile) -> None:
    entry = CatalogEntry(key="default/a", source=source)
    assert CatalogEntry.model_validate_json(entry.model_dump_json()) == entry


def test_an_object_means_one_content_as_soon_as_its_etag_is_known() -> None:
    assert not S3File(container="loras", key="x").names_one_content
    assert S3File(container="loras", key="x", etag="e").names_one_content


@pytest.mark.parametrize(
    ("source", "service", "label"),
    [
        (S3File(container="b", key="x"), "https://s3.us-east-1.amazonaws.com", "s3://b/x"),
        (S3File(container="b", key="x", region="cn-north-1"), "https://s3.cn-north-1.amazonaws.com.cn", "s3://b/x"),
        (S3File(container="b", key="x", endpoint="https://h:9"), "https://h:9", "https://h:9/b/x"),
        (GcsFile(container="b", key="x"), "https://storage.googleapis.com", "gs://b/x"),
        (AzureFile(container="b", key="x", account="acc"), "https://acc.blob.core.windows.net", "az://acc/b/x"),
    ],
)
def test_where_a_store_is(source: S3File | GcsFile | AzureFile, service: str, label: str) -> None:
    assert (source.service, source.label) == (service, label)


def test_what_lies_beside_an_object_has_another_content() -> None:
    beside = S3File(container="b", key="xl/a.safetensors", etag="e").beside("adapter_config.json")
    assert (beside.key, beside.etag) == ("xl/adapter_config.json", None)
    assert S3File(container="b", key="a.safetensors").beside("x").key == "x"
