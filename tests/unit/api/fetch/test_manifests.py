"""Manifests of artifacts: which layer is the adapter, and what is refused."""

import hashlib
import json
from typing import Any

import pytest

from lorapool_api.fetch.oci.manifest import OciIndex, OciLayer, OciManifest, choose_layer, read_manifest
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason

TITLE = "org.opencontainers.image.title"
SHOWN = "ghcr.io/acme/pixel:1"


def layer(name: str | None, media_type: str = "application/octet-stream", key: str = TITLE, **more: str) -> Any:
    digest = hashlib.sha256((name or "").encode()).hexdigest()
    annotations = {key: name, **more} if name is not None else more
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": 7, "annotations": annotations}


def manifest(*layers: Any) -> OciManifest:
    found = read_manifest(json.dumps({"schemaVersion": 2, "layers": layers}).encode(), SHOWN)
    assert isinstance(found, OciManifest)
    return found


def chosen(*layers: Any, file: str | None = None) -> str:
    return choose_layer(manifest(*layers), file, SHOWN).name


def refused(*layers: Any, file: str | None = None) -> tuple[Reason, str]:
    with pytest.raises(SourceRefused) as error:
        choose_layer(manifest(*layers), file, SHOWN)
    return error.value.reason, error.value.message


def test_a_layers_digest_is_the_sha256_of_the_file() -> None:
    found = choose_layer(manifest(layer("a.safetensors")), None, SHOWN)
    assert found == OciLayer("a.safetensors", f"sha256:{hashlib.sha256(b'a.safetensors').hexdigest()}", 7)
    assert found.sha256 == hashlib.sha256(b"a.safetensors").hexdigest()


def test_the_only_weights_file_is_meant_and_the_usual_name_before_others() -> None:
    assert chosen(layer("README.md"), layer("a.safetensors"), layer("embeddings.safetensors")) == "a.safetensors"
    usual = "pytorch_lora_weights.safetensors"
    assert chosen(layer("a.safetensors"), layer(usual)) == usual
    assert chosen(layer("a.safetensors"), layer("b.safetensors"), file="b.safetensors") == "b.safetensors"


def test_several_are_no_choice_of_ours() -> None:
    reason, message = refused(layer("a.safetensors"), layer("b.safetensors"))
    assert reason is Reason.SOURCE_NOT_FOUND
    assert "a.safetensors, b.safetensors" in message
    assert "spec.source.oci.file" in message


@pytest.mark.parametrize("key", [TITLE, "org.cncf.model.filepath", "org.cnai.model.filepath"])
def test_the_names_of_oras_and_of_model_packs_are_read(key: str) -> None:
    assert (
        chosen(layer("loras/a.safetensors", "application/vnd.cncf.model.weight.v1.raw", key)) == "loras/a.safetensors"
    )


def test_a_plain_file_that_oras_calls_a_layer_is_one() -> None:
    assert chosen(layer("./a.safetensors", "application/vnd.oci.image.layer.v1.tar")) == "a.safetensors"


@pytest.mark.parametrize(
    "packed",
    [
        layer("a.safetensors", "application/vnd.cncf.model.weight.v1.tar"),
        layer("a.safetensors", "application/vnd.cncf.model.weight.v1.tar+gzip"),
        layer("a.safetensors", "application/vnd.oci.image.layer.v1.tar+zstd"),
        layer("a.safetensors", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        layer("a.safetensors", "application/vnd.oci.image.layer.v1.tar", **{"io.deis.oras.content.unpack": "true"}),
        layer(None, "application/vnd.oci.image.layer.v1.tar+gzip"),
        layer("loras", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ],
)
def test_what_is_packed_is_refused_and_the_message_says_how_to_push(packed: Any) -> None:
    reason, message = refused(packed)
    assert reason is Reason.UNSUPPORTED_FORMAT
    assert "oras push" in message


def test_a_file_that_is_not_there_is_missing_and_what_is_there_is_named() -> None:
    reason, message = refused(layer("a.safetensors"), file="b.safetensors")
    assert reason is Reason.SOURCE_NOT_FOUND
    assert "it has a.safetensors" in message


@pytest.mark.parametrize("name", ["../a.safetensors\n", "a\x1b[31m.safetensors", "/a.safetensors", "a" * 300])
def test_a_name_that_cannot_be_shown_is_no_name(name: str) -> None:
    assert manifest(layer(name)).layers == ()


def test_sidecars_are_layers_in_the_same_folder() -> None:
    found = manifest(layer("x/a.safetensors"), layer("x/adapter_config.json"), layer("embeddings.safetensors"))
    config = found.sidecar("x/a.safetensors", "adapter_config.json")
    assert config is not None
    assert config.name == "x/adapter_config.json"
    assert found.sidecar("x/a.safetensors", "embeddings.safetensors") is None


def test_the_layers_are_bounded() -> None:
    with pytest.raises(SourceRefused, match="65 layers") as error:
        manifest(*(layer(f"{i}") for i in range(65)))
    assert error.value.reason is Reason.UNSUPPORTED_FORMAT


def index(*platforms: str | None) -> bytes:
    entries = [
        {**layer(None), "digest": f"sha256:{i:064x}", **({"platform": {"os": os}} if os else {})}
        for i, os in enumerate(platforms)
    ]
    return json.dumps({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}).encode()


def test_the_only_manifest_of_an_index_is_taken_and_attestations_do_not_count() -> None:
    assert read_manifest(index(None), SHOWN) == OciIndex(f"sha256:{0:064x}")
    assert read_manifest(index("unknown", "linux"), SHOWN) == OciIndex(f"sha256:{1:064x}")


@pytest.mark.parametrize("platforms", [(), ("linux", "windows"), ("unknown",)])
def test_an_index_of_several_is_refused_by_name(platforms: tuple[str, ...]) -> None:
    with pytest.raises(SourceRefused, match="by its digest") as error:
        read_manifest(index(*platforms), SHOWN)
    assert error.value.reason is Reason.SOURCE_NOT_FOUND
