"""Files of artifacts, from a registry and from Civitai, as a pod fetches them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests import files
from tests.artifacts.civitai import CivitaiRelease, CivitaiUpload, FakeCivitai, civitai_serving
from tests.artifacts.ranges import ranged
from tests.artifacts.registry import FakeRegistry, digest_of, registry_serving
from tests.runtime.stores import CONTENT, SHA256, Store
from tests.web import Reply

from lorapool_api.fetch.oci.access import PASSWORD, USERNAME
from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import CredentialsRef
from lorapool_api.wire.sources.artifacts import CivitaiFile, OciFile
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.credentials import CredentialsNeeded

FOLDER, NAME = "loras/", "loras/pixel.safetensors"
CONFIG, EMBEDDINGS = b'{"r": 4, "lora_alpha": 8}', b"words"
UPLOAD = "Pixel v1.safetensors"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with registry_serving() as it:
        yield it


@pytest.fixture
def civitai() -> Iterator[FakeCivitai]:
    with civitai_serving() as it:
        it.versions[9] = CivitaiRelease([CivitaiUpload(7, UPLOAD, CONTENT)])
        yield it


def pushed(registry: FakeRegistry, *, weights: bytes = CONTENT, **beside: bytes) -> OciFile:
    """An artifact with these files beside its weights, by the digest of its manifest."""
    names = {"config": f"{FOLDER}adapter_config.json", "embeddings": f"{FOLDER}embeddings.safetensors"}
    digest = registry.push("acme/loras", "1.0", {NAME: weights, **{names[k]: v for k, v in beside.items()}})
    return OciFile(ref=f"{registry.host}/acme/loras@{digest}", file=NAME)


def test_a_layer_becomes_a_blob_and_is_not_fetched_again(tmp_path: Path, registry: FakeRegistry) -> None:
    store, source = Store(tmp_path, hosts=registry.listed), pushed(registry)
    assert store.fetch(source).path.read_bytes() == CONTENT
    store.fetch(source)
    store.fetch(source, sha256=SHA256)
    assert registry.count("/blobs/") == 1


def test_what_lies_in_the_same_folder_of_an_artifact_belongs_to_it(tmp_path: Path, registry: FakeRegistry) -> None:
    store = Store(tmp_path, hosts=registry.listed)
    source = pushed(registry, config=CONFIG, embeddings=EMBEDDINGS)
    assert store.sidecars(source) == Sidecars(CONFIG, EMBEDDINGS)
    asked = len(registry.web.seen)
    assert store.sidecars(source) == Sidecars(CONFIG, EMBEDDINGS)
    assert len(registry.web.seen) == asked
    assert store.sidecars(pushed(registry)) == Sidecars(None, None)


def test_a_sidecar_of_another_content_or_size_than_its_layer_is_refused(tmp_path: Path, registry: FakeRegistry) -> None:
    store = Store(tmp_path, hosts=registry.listed)
    source = pushed(registry, config=CONFIG)
    registry.blobs[digest_of(CONFIG)] = bytes(len(CONFIG))
    with pytest.raises(Exception, match="sha256") as refused:
        store.sidecars(source)
    assert getattr(refused.value, "reason", None) is Reason.CHECKSUM_MISMATCH
    with pytest.raises(Exception, match="at most") as refused:
        store.sidecars(pushed(registry, config=bytes(300_000)))
    assert getattr(refused.value, "reason", None) is Reason.FILE_TOO_LARGE


@pytest.mark.parametrize("redirects", [False, True])
def test_a_layer_that_breaks_off_goes_on_where_it_was(tmp_path: Path, registry: FakeRegistry, redirects: bool) -> None:
    registry.redirects = redirects
    source, cut = pushed(registry), threading.Event()
    asked: list[str] = []

    def once_cut(request: BaseHTTPRequestHandler) -> Reply:
        asked.append(request.headers.get("range", ""))
        whole = ranged(request, CONTENT, "1")
        if cut.is_set():
            return whole
        cut.set()
        return Reply(whole.status, CONTENT[:100], {**whole.headers, "content-length": str(len(CONTENT))})

    place = registry.storage if redirects else registry.web
    path = f"/{digest_of(CONTENT)}" if redirects else f"/v2/acme/loras/blobs/{digest_of(CONTENT)}"
    place.answers[path] = once_cut
    assert Store(tmp_path, hosts=registry.listed).fetch(source).sha256 == SHA256
    assert asked == ["", "bytes=100-"]


def test_a_layer_larger_than_the_pool_takes_is_refused_by_its_manifest(tmp_path: Path, registry: FakeRegistry) -> None:
    error = Store(tmp_path, hosts=registry.listed, max_bytes=100).refuse(pushed(registry))
    assert error.reason is Reason.FILE_TOO_LARGE
    assert registry.count("/blobs/") == 0


def test_a_layer_that_is_not_the_pinned_one_is_refused_by_its_manifest(tmp_path: Path, registry: FakeRegistry) -> None:
    error = Store(tmp_path, hosts=registry.listed).refuse(pushed(registry), sha256="0" * 64)
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert registry.count("/blobs/") == 0


def test_a_token_of_a_registry_is_on_no_disk(tmp_path: Path, registry: FakeRegistry) -> None:
    Store(tmp_path, hosts=registry.listed).fetch(pushed(registry))
    (token,) = registry.tokens
    left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert left
    assert not any(token.encode() in content for content in left)


def test_a_private_artifact_is_asked_for_with_what_the_pod_was_given(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.anonymous, registry.users = False, {"reader": "canary"}
    given = {USERNAME: SecretStr("reader"), PASSWORD: SecretStr("canary")}
    source = pushed(registry, config=CONFIG).model_copy(
        update={"credentials": CredentialsRef(namespace="team", secret="pull", pulls="ghcr.io/a/b:1")}
    )
    store, entry = Store(tmp_path, hosts=registry.listed), CatalogEntry(key="team/a", source=source)
    with pytest.raises(CredentialsNeeded):
        store.fetch(source)
    assert store.fetcher.fetch(entry, lambda: False, credentials=given).sha256 == SHA256
    assert store.fetcher.sidecars(entry, AdapterFormat.PEFT, given).peft_config == CONFIG
    assert not any(b"canary" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_file_of_civitai_becomes_a_blob_and_is_not_fetched_again(tmp_path: Path, civitai: FakeCivitai) -> None:
    store, source = Store(tmp_path, hosts=civitai.listed, civitai=civitai.url), CivitaiFile(version=9, file=UPLOAD)
    assert store.fetch(source).path.read_bytes() == CONTENT
    store.fetch(source)
    assert len(civitai.storage.seen) == 1
    assert store.sidecars(source) == Sidecars(None, None)


def test_a_file_that_its_creator_replaced_is_not_the_one_that_was_found(tmp_path: Path, civitai: FakeCivitai) -> None:
    store, source = Store(tmp_path, hosts=civitai.listed, civitai=civitai.url), CivitaiFile(version=9, file=UPLOAD)
    civitai.versions[9] = CivitaiRelease([CivitaiUpload(7, UPLOAD, files.lora_file(rank=8))])
    error = store.refuse(source, sha256=SHA256)
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert civitai.storage.seen == []
