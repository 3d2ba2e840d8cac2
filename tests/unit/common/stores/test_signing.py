"""Signed addresses: stores that check them let them in, and nothing else of the environment or of a Secret counts."""

import json
import os
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.object_stores import azure, google, s3
from tests.object_stores.server import Asked
from tests.web import Reply, Web, serving

from lorapool_common.stores.credentials import NAMES, UnusableCredentials
from lorapool_common.stores.signing import NoIdentity, public_url, url_for, url_for_pod

KEYS = {"AWS_ACCESS_KEY_ID": s3.KEY_ID, "AWS_SECRET_ACCESS_KEY": s3.SECRET}
KEY, SPACED = "loras/pixel-art+(1).safetensors", "loras/pixel art.safetensors"


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests counts, and no metadata service is asked."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as it:
        yield it


def wanted(kind: str, endpoint: str, **more: Any) -> Any:
    found = {"container": "loras", "key": KEY, "region": None, "account": None, **more}
    return SimpleNamespace(kind=kind, service=endpoint, endpoint=endpoint, **found)


def status(url: str) -> int:
    return httpx.get(url, trust_env=False).status_code


def test_the_fake_s3_knows_the_signature_of_the_documentation() -> None:
    """AWS' own example of a presigned address."""
    query = {
        "X-Amz-Algorithm": s3.ALGORITHM,
        "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
        "X-Amz-Date": "20130524T000000Z",
        "X-Amz-Expires": "86400",
        "X-Amz-SignedHeaders": "host",
    }
    asked = Asked("/test.txt", "", "examplebucket.s3.amazonaws.com")
    right = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert s3.signature(asked, query, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY") == right


def test_s3_lets_the_right_key_in_and_no_other(web: Web) -> None:
    s3.s3(web).put(f"loras/{KEY}", b"content")
    at = wanted("s3", web.url)
    assert status(url_for(at, KEYS)) == 200
    assert status(url_for(at, {**KEYS, "AWS_SECRET_ACCESS_KEY": "other"})) == 403
    assert status(public_url(at)) == 403


def test_a_key_may_have_spaces(web: Web) -> None:
    account = google.Account()
    s3.s3(web).put(f"loras/{SPACED}", b"content")
    google.gcs(web, account).put(f"others/{SPACED}", b"content")
    assert status(url_for(wanted("s3", web.url, key=SPACED), KEYS)) == 200
    in_google = wanted("gcs", web.url, key=SPACED, container="others")
    assert status(url_for(in_google, {"GOOGLE_SERVICE_ACCOUNT_KEY": account.json()})) == 200


def test_a_temporary_key_of_s3_is_sent_with_its_token(web: Web) -> None:
    s3.s3(web, s3.signed_by({s3.KEY_ID: s3.SECRET}, session="a session")).put(f"loras/{KEY}", b"content")
    assert status(url_for(wanted("s3", web.url), {**KEYS, "AWS_SESSION_TOKEN": "a session"})) == 200
    assert status(url_for(wanted("s3", web.url), KEYS)) == 400


def test_google_lets_the_right_account_in_and_no_other(web: Web) -> None:
    account, other = google.Account(), google.Account()
    google.gcs(web, account).put(f"loras/{KEY}", b"content")
    at = wanted("gcs", web.url)
    assert status(url_for(at, {"GOOGLE_SERVICE_ACCOUNT_KEY": account.json()})) == 200
    assert status(url_for(at, {"GOOGLE_SERVICE_ACCOUNT_KEY": other.json()})) == 403


def test_azure_lets_the_right_key_in_and_no_other(web: Web) -> None:
    azure.azure(web).put(f"{azure.ACCOUNT}/loras/{KEY}", b"content")
    at = wanted("azure", f"{web.url}/{azure.ACCOUNT}", account=azure.ACCOUNT)
    assert status(url_for(at, {"AZURE_STORAGE_ACCOUNT_KEY": azure.KEY})) == 200
    assert status(url_for(at, {"AZURE_STORAGE_ACCOUNT_KEY": "b3RoZXI="})) == 403


def test_a_signature_that_azure_gave_to_somebody_is_passed_on(web: Web) -> None:
    azure.azure(web).put(f"{azure.ACCOUNT}/loras/{KEY}", b"content")
    at = wanted("azure", f"{web.url}/{azure.ACCOUNT}", account=azure.ACCOUNT)
    sas = url_for(at, {"AZURE_STORAGE_ACCOUNT_KEY": azure.KEY}).partition("?")[2]
    assert status(url_for(at, {"AZURE_STORAGE_SAS_TOKEN": f"?{sas}"})) == 200


@pytest.mark.parametrize(
    ("kind", "environment"),
    [
        ("s3", {"AWS_SESSION_TOKEN": "of the pod", "AWS_ENDPOINT_URL": "http://elsewhere:1", "AWS_REGION": "xx-1"}),
        ("azure", {"AZURE_STORAGE_ACCOUNT_KEY": "b3RoZXI=", "AZURE_STORAGE_SAS_TOKEN": "sig=of-the-pod"}),
    ],
)
def test_beside_keys_of_a_secret_the_environment_does_not_count(
    web: Web, monkeypatch: pytest.MonkeyPatch, kind: str, environment: Mapping[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3.s3(web).put(f"loras/{KEY}", b"content")
    azure.azure(web).put(f"{azure.ACCOUNT}/loras/{KEY}", b"content")
    endpoint = web.url if kind == "s3" else f"{web.url}/{azure.ACCOUNT}"
    keys = {**KEYS, "AZURE_STORAGE_ACCOUNT_KEY": azure.KEY}
    assert status(url_for(wanted(kind, endpoint, account=azure.ACCOUNT), keys)) == 200


def test_addresses_in_a_google_key_lead_nowhere() -> None:
    """Such a file can name a store of its own, to which the library would go."""
    hostile = google.Account().json(gcs_base_url="http://169.254.169.254", token_uri="http://169.254.169.254")
    url = url_for(wanted("gcs", "https://storage.googleapis.com"), {"GOOGLE_SERVICE_ACCOUNT_KEY": hostile})
    assert url.startswith("https://storage.googleapis.com/loras/")


GOOD_KEY = json.loads(google.Account().json())


@pytest.mark.parametrize(
    ("kind", "credentials"),
    [
        ("s3", {}),
        ("s3", {"AWS_ACCESS_KEY_ID": "canary"}),
        ("gcs", {"GOOGLE_SERVICE_ACCOUNT_KEY": "canary"}),
        ("gcs", {"GOOGLE_SERVICE_ACCOUNT_KEY": "[" * 100_000}),
        ("gcs", {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(GOOD_KEY | {"private_key": "canary"})}),
        ("azure", {}),
        ("azure", {"AZURE_STORAGE_ACCOUNT_KEY": "canary, no base64"}),
        ("azure", {"AZURE_STORAGE_SAS_TOKEN": "sig=canary\r\nhost: elsewhere"}),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(kind: str, credentials: Mapping[str, str]) -> None:
    with pytest.raises(UnusableCredentials) as refused:
        url_for(wanted(kind, "https://store.example.org", account="acc"), credentials)
    error: BaseException | None = refused.value
    while error is not None:
        assert "canary" not in str(error)
        error = error.__cause__


def test_only_names_of_the_store_are_looked_at() -> None:
    assert NAMES.keys() == {"s3", "gcs", "azure"}


def test_keys_in_the_pods_environment_are_an_identity(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    s3.s3(web).put(f"loras/{KEY}", b"content")
    assert status(url_for_pod(wanted("s3", web.url))) == 200


def test_a_projected_token_is_an_identity(web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What EKS gives a pod: a token of its ServiceAccount, and an agent of the node that gives keys for it, once."""
    (tmp_path / "token").write_text("of-the-service-account")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{web.url}/v1/credentials")
    keys = {"AccessKeyId": s3.KEY_ID, "SecretAccessKey": s3.SECRET, "Token": "a session"}
    body = json.dumps(keys | {"Expiration": "2999-01-01T00:00:00Z"}).encode()
    tokens: list[str | None] = []

    def agent(request: BaseHTTPRequestHandler) -> Reply:
        tokens.append(request.headers.get("authorization"))
        return Reply(body=body)

    web.answers["/v1/credentials"] = agent
    with serving() as store:
        s3.s3(store, s3.signed_by({s3.KEY_ID: s3.SECRET}, session="a session")).put(f"loras/{KEY}", b"content")
        at = wanted("s3", store.url)
        assert [status(url_for_pod(at)) for _ in range(3)] == [200] * 3
    assert tokens == ["of-the-service-account"]


def test_a_pod_without_an_identity_says_so_and_shows_nothing() -> None:
    with pytest.raises(NoIdentity, match="no identity"):
        url_for_pod(wanted("s3", "http://127.0.0.1:2"))
