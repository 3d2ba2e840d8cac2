"""Pull secrets: of many registries, the one that the artifact is in."""

import json
from base64 import b64encode
from typing import Any

import pytest

from lorapool_api.fetch.oci.pull_secret import UnusablePullSecret, pull_credentials
from lorapool_api.fetch.oci.reference import OciReference


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


def of(auths: Any, ref: str = "ghcr.io/acme/loras/pixel:1") -> tuple[str, ...]:
    found = pull_credentials(json.dumps({"auths": auths}).encode(), OciReference.parse(ref))
    assert set(found) == {"username", "password"}
    assert "canary" not in repr(found)
    return found["username"].get_secret_value(), found["password"].get_secret_value()


@pytest.mark.parametrize(
    "key", ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "ghcr.io/acme", "GHCR.io/acme/loras"]
)
def test_keys_are_hosts_addresses_and_first_folders(key: str) -> None:
    assert of({"other.io": auth("x", "y"), key: auth("reader", "canary:1")}) == ("reader", "canary:1")


def test_the_key_that_names_most_of_the_repository_counts() -> None:
    auths = {
        "ghcr.io": auth("all", "canary"),
        "ghcr.io/acme/loras": auth("ours", "canary"),
        "ghcr.io/acme": auth("o", "p"),
    }
    assert of(auths)[0] == "ours"
    assert of(auths, "ghcr.io/elsewhere/x:1")[0] == "all"
    with pytest.raises(UnusablePullSecret):
        of({"ghcr.io/acm": auth("near", "canary")})


def test_docker_hub_has_several_names() -> None:
    assert of({"https://index.docker.io/v1/": auth("reader", "canary")}, "docker.io/acme/x:1")[0] == "reader"


def test_a_name_and_a_password_may_stand_apart() -> None:
    assert of({"ghcr.io": {"username": "reader", "password": "canary", "auth": "!"}}) == ("reader", "canary")


@pytest.mark.parametrize(
    "config",
    [
        b"", b"{}", b"[]", b'{"auths": 7}', b'{"auths": {"ghcr.io": "canary"}}', b'{"auths": {}}',
        b'{"auths": {"ghcr.io": {}}}', b'{"auths": {"ghcr.io": {"auth": "canary"}}}',
        b'{"auths": {"ghcr.io": {"auth": "Y2FuYXJ5"}}}', b'{"auths": {"ghcr.io": {"identitytoken": "canary"}}}',
        b'{"auths": {"http://[::1": {"auth": "canary"}}}', b'{"auths": {"evil.io": {"username": "a", "password": "b"}}}',  # noqa: E501 -- a table
    ],
)  # fmt: skip
def test_a_secret_without_them_is_refused_and_shows_nothing(config: bytes) -> None:
    with pytest.raises(UnusablePullSecret) as error:
        pull_credentials(config, OciReference.parse("ghcr.io/acme/loras/pixel:1"))
    assert "canary" not in str(error.value)
