"""Credentials of sources: whom a token is sent to, and who sees it."""

import pytest
from pydantic import SecretStr, ValidationError

from lorapool_api.fetch.hub_errors import refused_by_answer
from lorapool_api.fetch.policy import SourceRefused, UrlFetch
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import AdapterSource, SecretKeyRef
from lorapool_api.wire.credentials import MAX_VALUE_CHARACTERS, CredentialsDelivery, CredentialsGrant, CredentialsRef
from lorapool_api.wire.sources.any import file_source
from lorapool_api.wire.sources.basic import HubFile, UrlFile

CANARY = "canary-4f1d"
HOSTS = ("files.example.org", "*.example.org", "http://10.0.0.0/8", "http://plain.example.org:8080")
REF = CredentialsRef(namespace="team", secret="hub", keys=(("token", "hf"),))


def asked(url: str) -> UrlFetch:
    return UrlFetch(url, HOSTS, token=SecretStr(CANARY))


@pytest.mark.parametrize(
    "url", ["https://files.example.org/a", "http://plain.example.org:8080/a", "http://10.1.2.3/a", "https://10.1.2.3/a"]
)
def test_a_token_goes_to_whoever_is_at_the_address(url: str) -> None:
    assert asked(url).headers() == {"authorization": f"Bearer {CANARY}"}


@pytest.mark.parametrize("url", ["http://files.example.org/a", "http://10.1.2.3:8080/a", "http://plain.example.org/a"])
def test_a_token_goes_nowhere_where_everybody_on_the_way_reads_it(url: str) -> None:
    with pytest.raises(SourceRefused, match="https only") as error:
        asked(url).headers()
    assert error.value.reason is Reason.SOURCE_FORBIDDEN


@pytest.mark.parametrize(
    ("location", "is_sent"),
    [
        ("/b", True),
        ("https://FILES.example.org:443/b", True),
        ("https://other.example.org/b", False),
        ("http://files.example.org/b", False),
        ("https://files.example.org:8443/b", False),
        ("https://files.example.org.evil.org/b", False),
        ("https://files.example.org@evil.org/b", False),
    ],
)
def test_a_redirect_takes_no_token_to_another_host(location: str, is_sent: bool) -> None:
    fetch = asked("https://files.example.org/a")
    assert not fetch.answered(302, {"location": location})
    assert bool(fetch.headers()) is is_sent


def test_a_token_comes_back_with_a_redirect_to_where_it_began() -> None:
    fetch = asked("https://files.example.org/a")
    fetch.answered(302, {"location": "https://other.example.org/b"})
    fetch.answered(302, {"location": "https://files.example.org/c"})
    assert fetch.headers() == {"authorization": f"Bearer {CANARY}"}


@pytest.mark.parametrize(
    ("fetch", "words"), [(asked("https://h/a"), "to the token"), (UrlFetch("https://h/a", ()), "can name one")]
)
@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_is_told_what_to_do(fetch: UrlFetch, words: str, status: int) -> None:
    with pytest.raises(SourceRefused, match=words) as error:
        fetch.answered(status, {})
    assert error.value.reason is Reason.SOURCE_FORBIDDEN


@pytest.mark.parametrize(
    ("status", "code", "reason", "words"),
    [
        (403, "GatedRepo", Reason.SOURCE_FORBIDDEN, "accept its conditions"),
        (401, "RepoNotFound", Reason.SOURCE_NOT_FOUND, "tokenSecretRef"),
        (403, "", Reason.SOURCE_FORBIDDEN, "may not read it"),
    ],
)
def test_the_hubs_no_says_what_to_do(status: int, code: str, reason: Reason, words: str) -> None:
    refused = refused_by_answer(status, {"x-error-code": code}, "a/b")
    assert refused.reason is reason
    assert words in refused.message


def test_a_bad_token_is_no_missing_repository() -> None:
    said = {"x-error-message": "Invalid credentials in Authorization header"}
    assert refused_by_answer(401, said, "a/b").reason is Reason.SOURCE_FORBIDDEN


def test_a_delivery_shows_its_secrets_on_the_wire_alone() -> None:
    delivery = CredentialsDelivery(grants={"team/a": CredentialsGrant(ref=REF, values={"token": SecretStr(CANARY)})})
    assert CANARY not in f"{delivery} {delivery!r} {delivery.model_dump()}"
    assert CredentialsDelivery.model_validate_json(delivery.model_dump_json()) == delivery


def test_an_error_about_a_delivery_does_not_quote_it() -> None:
    long = CANARY * MAX_VALUE_CHARACTERS
    with pytest.raises(ValidationError) as error:
        CredentialsGrant.model_validate({"ref": REF.model_dump(), "values": {"token": long}})
    assert CANARY not in f"{error.value} {error.value!r}"


def test_a_manifest_names_a_secret_of_its_own_namespace() -> None:
    source = AdapterSource(url="https://h/a", token_secret_ref=SecretKeyRef(name="hub", key="hf"))
    assert file_source(source, namespace="team") == UrlFile(url="https://h/a", credentials=REF)


def test_who_asks_is_part_of_what_a_source_is() -> None:
    assert UrlFile(url="https://h/a") != UrlFile(url="https://h/a", credentials=REF)
    named = HubFile(repo="a/b", revision="c", file="f", credentials=REF)
    assert len({named, HubFile.model_validate_json(named.model_dump_json())}) == 1
