"""References to artifacts, and what a manifest of Kubernetes may hold of them."""

import pytest
from pydantic import ValidationError

from lorapool_api.fetch.oci.reference import OciReference
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.artifacts import CivitaiSource, OciSource

DIGEST = "sha256:" + "a" * 64
GOOD = {
    "ghcr.io/acme/loras/pixel:1.2": ("ghcr.io", "acme/loras/pixel", "1.2", None),
    "localhost/pixel:1": ("localhost", "pixel", "1", None),
    "registry:5000/pixel:1": ("registry:5000", "pixel", "1", None),
    "10.1.2.3:5000/pixel:1": ("10.1.2.3:5000", "pixel", "1", None),
    "[fd00::1]:5000/pixel:1": ("[fd00::1]:5000", "pixel", "1", None),
    f"ghcr.io/acme/pixel@{DIGEST}": ("ghcr.io", "acme/pixel", None, DIGEST),
    f"ghcr.io/acme/pixel:1@{DIGEST}": ("ghcr.io", "acme/pixel", "1", DIGEST),
    "docker.io/acme/pixel:1": ("docker.io", "acme/pixel", "1", None),
    "docker.io/pixel:1": ("docker.io", "library/pixel", "1", None),
}


@pytest.mark.parametrize(("text", "parts"), GOOD.items())
def test_a_reference_is_read(text: str, parts: tuple[str, str, str | None, str | None]) -> None:
    found = OciReference.parse(OciSource(ref=text).ref)
    assert (found.registry, found.repository, found.tag, found.digest) == parts
    assert OciReference.parse(f"{OciSource(ref=text).repository}@{DIGEST}").digest == DIGEST
    assert OciSource(ref=text).repository.endswith(parts[1].removeprefix("library/"))


BAD = (
    *("pixel:1", "acme/pixel:1", "ghcr.io/acme/Pixel:1", "ghcr.io/../x:1", "ghcr.io//x:1", "https://ghcr.io/a/b:1"),
    *("user@ghcr.io/a:1", "ghcr.io/a:1?x", "ghcr.io/a:1/b", "ghcr.io/a:", f"ghcr.io/a@{DIGEST[:-1]}", "ghcr.io:x/a:1"),
    *("ghcr.io/a@md5:1", "ghcr.io/a b:1", "", "/a:1", "ghcr.io/a:1\n"),
)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_reference_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises((ValidationError, SourceRefused)):
        OciReference.parse(OciSource(ref=text).ref)


def test_a_reference_without_tag_and_digest_is_none() -> None:
    with pytest.raises(SourceRefused, match="registry/repository:tag"):
        OciReference.parse("ghcr.io/acme/pixel")


def test_docker_hub_answers_at_another_name_than_it_has() -> None:
    assert OciReference.parse("docker.io/acme/pixel:1").url(()) == "https://registry-1.docker.io/v2/acme/pixel"
    assert OciReference.parse("ghcr.io/acme/pixel:1").url(("http://ghcr.io:80",)) == "http://ghcr.io/v2/acme/pixel"


def test_an_air_names_a_model_a_version_and_perhaps_a_file() -> None:
    plain = CivitaiSource(air="urn:air:sdxl:lora:civitai:328553@368189")
    assert (plain.model, plain.version, plain.wanted_file) == (328553, 368189, None)
    assert CivitaiSource(air="urn:air:flux1:lycoris:civitai:1@2+33.safetensors").wanted_file == "33"
    by_number = CivitaiSource(model_version=368189, file="x.safetensors")
    assert (by_number.model, by_number.version, by_number.wanted_file) == (None, 368189, "x.safetensors")


@pytest.mark.parametrize(
    "air",
    [
        "urn:air:sdxl:checkpoint:civitai:1@2",
        "urn:air:sdxl:lora:huggingface:1@2",
        "urn:air:sdxl:lora:civitai:1",
        "urn:air:sdxl:lora:civitai:1@2@3",
        "sdxl:lora:civitai:1@2",
        "urn:air:sdxl:lora:civitai:1@0",
        "urn:air:sdxl:lora:civitai:1@" + "9" * 40,
    ],
)
def test_an_air_of_something_else_is_refused(air: str) -> None:
    with pytest.raises(ValidationError):
        CivitaiSource(air=air)


def test_what_another_version_stored_is_read_and_means_no_version() -> None:
    assert CivitaiSource().version == 0
