"""Objects from stores: whom they are asked as, which content is meant, and what lies beside them."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.object_stores import s3
from tests.object_stores.server import FakeStore, etag_of
from tests.runtime.stores import CONTENT, SHA256, Store
from tests.web import Reply, serving

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import CredentialsRef
from lorapool_api.wire.sources.objects import AzureFile, GcsFile, S3File
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import write_hashed

KEY = "xl/pixel.safetensors"


@pytest.fixture
def store() -> Iterator[FakeStore]:
    with serving() as web:
        store = s3.s3(web, s3.public)
        store.put(f"loras/{KEY}", CONTENT)
        for name in ("adapter_config.json", "embeddings.safetensors"):
            store.announce(f"loras/xl/{name}")
        yield store


def public(store: FakeStore, **more: Any) -> S3File:
    return S3File(container="loras", key=KEY, endpoint=store.web.url, anonymous=True, **more)


def pod(tmp_path: Path, store: FakeStore, **more: Any) -> Store:
    return Store(tmp_path, hosts=(f"http://{store.web.host}",), **more)


@pytest.mark.parametrize("kind", [S3File, GcsFile, AzureFile])
def test_a_public_object_becomes_a_blob(tmp_path: Path, store: FakeStore, kind: type[Any]) -> None:
    source = kind(container="loras", key=KEY, endpoint=store.web.url, anonymous=True, account="acc")
    assert pod(tmp_path, store).fetch(source).path.read_bytes() == CONTENT


def test_an_object_is_read_with_the_pods_identity(
    tmp_path: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.SECRET)
    store.check = s3.signed_by({s3.KEY_ID: s3.SECRET})
    source = S3File(container="loras", key=KEY, endpoint=store.web.url)
    assert pod(tmp_path, store).fetch(source).sha256 == SHA256
    store.check = s3.signed_by({s3.KEY_ID: "another secret"})
    error = pod(tmp_path / "other", store).refuse(source)
    assert (error.reason, error.transient) == (Reason.SOURCE_FORBIDDEN, False)
    assert "Signature" not in error.message


def test_a_signed_address_goes_over_no_plain_connection_that_is_not_named_so(
    tmp_path: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.SECRET)
    source = S3File(container="loras", key=KEY, endpoint=store.web.url)
    error = Store(tmp_path, hosts=(store.web.host,)).refuse(source)
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert store.web.seen == []


def test_an_endpoint_that_is_not_allowed_is_never_asked(tmp_path: Path, store: FakeStore) -> None:
    error = Store(tmp_path, hosts=("example.org",)).refuse(public(store))
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert store.web.seen == []


def test_a_store_leads_to_nowhere_else(tmp_path: Path, store: FakeStore) -> None:
    away = {"location": "http://169.254.169.254/latest/meta-data"}
    store.web.answers[f"/loras/{KEY}"] = Reply(307, headers=away)
    assert pod(tmp_path, store).refuse(public(store)).reason is Reason.SOURCE_FORBIDDEN


def test_another_content_than_was_looked_at_is_an_error_and_no_mix(tmp_path: Path, store: FakeStore) -> None:
    source = public(store, etag=etag_of(CONTENT))
    assert pod(tmp_path, store).fetch(source).sha256 == SHA256
    store.put(f"loras/{KEY}", CONTENT + b"more")
    error = pod(tmp_path / "later", store).refuse(source)
    assert (error.reason, error.transient) == (Reason.CHECKSUM_MISMATCH, False)
    assert "refresh" in error.message


def test_a_store_that_knows_no_preconditions_gives_no_other_content_either(tmp_path: Path, store: FakeStore) -> None:
    store.web.answers[f"/loras/{KEY}"] = Reply(body=CONTENT + b"more", headers={"etag": '"other"'})
    error = pod(tmp_path, store).refuse(public(store, etag=etag_of(CONTENT)))
    assert error.reason is Reason.CHECKSUM_MISMATCH


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path, store: FakeStore) -> None:
    half, whole = len(CONTENT) // 2, {"etag": f'"{etag_of(CONTENT)}"', "accept-ranges": "bytes"}
    first = iter([Reply(body=CONTENT[:half], headers={**whole, "content-length": str(len(CONTENT))})])
    store.web.answers[f"/loras/{KEY}"] = lambda request: next(first, None) or store.answer(request)
    assert pod(tmp_path, store).fetch(public(store, etag=etag_of(CONTENT))).sha256 == SHA256
    assert store.ranges == [f"bytes={half}-"]


def test_one_that_changes_while_it_is_read_is_no_mix(tmp_path: Path, store: FakeStore) -> None:
    other = bytes(reversed(CONTENT))
    half, whole = len(CONTENT) // 2, {"etag": f'"{etag_of(other)}"', "accept-ranges": "bytes"}
    first = iter([Reply(body=other[:half], headers={**whole, "content-length": str(len(CONTENT))})])
    store.web.answers[f"/loras/{KEY}"] = lambda request: next(first, None) or store.answer(request)
    error = pod(tmp_path, store).refuse(public(store, etag=etag_of(other)))
    assert error.reason is Reason.CHECKSUM_MISMATCH


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (s3.error(404, "NoSuchKey"), Reason.SOURCE_NOT_FOUND, 1),
        (s3.error(403, "AccessDenied"), Reason.SOURCE_FORBIDDEN, 1),
        (s3.error(400, "ExpiredToken"), Reason.SOURCE_FORBIDDEN, 1),
        (s3.error(503, "SlowDown"), Reason.SOURCE_UNAVAILABLE, 3),
        (Reply(429, headers={"retry-after": "1"}), Reason.SOURCE_UNAVAILABLE, 3),
    ],
)
def test_only_what_may_pass_is_tried_again(
    tmp_path: Path, store: FakeStore, answer: Reply, reason: Reason, tries: int
) -> None:
    store.web.answers[f"/loras/{KEY}"] = answer
    assert pod(tmp_path, store).refuse(public(store)).reason is reason
    assert store.count(f"loras/{KEY}") == tries


def test_a_bucket_of_another_region_is_named(tmp_path: Path, store: FakeStore) -> None:
    there = {"x-amz-bucket-region": "eu-central-1"}
    store.web.answers[f"/loras/{KEY}"] = Reply(301, headers=there)
    assert "region eu-central-1" in pod(tmp_path, store).refuse(public(store)).message


def test_an_object_over_the_limit_is_refused_before_its_first_byte(tmp_path: Path, store: FakeStore) -> None:
    store.put(f"loras/{KEY}", b"x" * 5000)
    assert pod(tmp_path, store, max_bytes=1000).refuse(public(store)).reason is Reason.FILE_TOO_LARGE


def test_a_store_that_drips_is_given_up(tmp_path: Path, store: FakeStore) -> None:
    times = itertools.count(step=100.0)
    write = partial(write_hashed, clock=lambda: next(times))
    error = pod(tmp_path, store, write=write).refuse(public(store))
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "too slow" in error.message


def test_what_lies_beside_an_object_belongs_to_it(tmp_path: Path, store: FakeStore) -> None:
    store.put("loras/xl/adapter_config.json", b'{"r": 4}')
    at = pod(tmp_path, store)
    at.fetch(public(store))
    found = at.sidecars(public(store))
    assert (found.peft_config, found.embeddings) == (b'{"r": 4}', None)
    assert at.sidecars(public(store)) == found
    assert store.count("loras/xl/adapter_config.json") == 1


def test_without_the_right_to_list_a_missing_sidecar_is_forbidden_and_taken_for_missing(
    tmp_path: Path, store: FakeStore
) -> None:
    for name in ("adapter_config.json", "embeddings.safetensors"):
        store.web.answers[f"/loras/xl/{name}"] = s3.error(403, "AccessDenied")
    assert pod(tmp_path, store).sidecars(public(store)).peft_config is None


REF = CredentialsRef(namespace="team", secret="keys")


def keys(**changed: str) -> dict[str, SecretStr]:
    values = {"AWS_ACCESS_KEY_ID": s3.KEY_ID, "AWS_SECRET_ACCESS_KEY": s3.SECRET} | changed
    return {name: SecretStr(value) for name, value in values.items()}


def test_an_object_is_read_with_the_keys_that_the_operator_hands_over(tmp_path: Path, store: FakeStore) -> None:
    store.check = s3.signed_by({s3.KEY_ID: s3.SECRET})
    store.put("loras/xl/adapter_config.json", b'{"r": 4}')
    source = S3File(container="loras", key=KEY, endpoint=store.web.url, credentials=REF)
    entry, fetcher = CatalogEntry(key="team/a", source=source), pod(tmp_path, store).fetcher
    with pytest.raises(CredentialsNeeded):
        fetcher.fetch(entry, lambda: False)
    assert fetcher.fetch(entry, lambda: False, None, keys()).sha256 == SHA256
    assert fetcher.sidecars(entry, AdapterFormat.PEFT, keys()).peft_config == b'{"r": 4}'
    # Somebody else who names the object without those keys is asked for his own.
    stranger = CatalogEntry(key="other/a", source=source.model_copy(update={"credentials": None, "anonymous": True}))
    with pytest.raises(AdapterError) as refused:
        fetcher.fetch(stranger, lambda: False)
    assert refused.value.reason is Reason.SOURCE_FORBIDDEN


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "canary"}, Reason.SOURCE_FORBIDDEN),
        ({"AWS_SECRET_ACCESS_KEY": ""}, Reason.INVALID_SECRET),
    ],
)
def test_keys_that_open_nothing_are_a_reason_and_lie_nowhere(
    tmp_path: Path, store: FakeStore, changed: dict[str, str], reason: Reason
) -> None:
    store.check = s3.signed_by({s3.KEY_ID: s3.SECRET})
    source, at = S3File(container="loras", key=KEY, endpoint=store.web.url, credentials=REF), pod(tmp_path, store)
    with pytest.raises(AdapterError) as refused:
        at.fetcher.fetch(CatalogEntry(key="team/a", source=source), lambda: False, None, keys(**changed))
    assert refused.value.reason is reason
    assert "canary" not in refused.value.message
    kept = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(secret in content for content in kept for secret in (b"canary", s3.KEY_ID.encode()))
