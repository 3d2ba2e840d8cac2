"""Which objects in stores an adapter may name."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.conditions import Reason

OWN = {"s3": {"bucket": "team", "key": "xl/a.safetensors"}}
AZURE = {"azure": {"account": "models", "container": "loras", "key": "a.safetensors"}}


def reason(source: dict[str, Any], prefixes: tuple[str, ...] = ()) -> str | None:
    pool = op.pool(adapters={"identityPrefixes": list(prefixes)})
    return op.reason(op.seen(make.adapter(source=source), pool=pool))


@pytest.mark.parametrize(
    ("source", "prefix", "allowed"),
    [
        (OWN, "s3://team", True),
        (OWN, "s3://team/", True),
        (OWN, "s3://team/xl", True),
        (OWN, "s3://team/x", False),
        (OWN, "s3://tea", False),
        (OWN, "gs://team", False),
        (OWN, "s3://team/xl/a.safetensors/", False),
        ({"gcs": OWN["s3"]}, "gs://team", True),
        (AZURE, "az://models/loras", True),
        (AZURE, "az://models", True),
        (AZURE, "az://models/lor", False),
        ({"s3": {**OWN["s3"], "endpoint": "https://files.example.org"}}, "s3://team", False),
        ({"s3": {**OWN["s3"], "endpoint": "https://files.example.org"}}, "https://files.example.org/team", True),
    ],
)
def test_the_pool_names_what_its_identity_is_for(source: dict[str, Any], prefix: str, allowed: bool) -> None:
    assert reason(source, (prefix,)) == (None if allowed else Reason.SOURCE_FORBIDDEN)


def test_without_a_word_of_the_pool_its_identity_is_for_nothing() -> None:
    found = op.finding(op.seen(make.adapter(source=OWN), pool=op.pool()))
    assert found is not None
    assert found.verdict.reason is Reason.SOURCE_FORBIDDEN
    assert "identityPrefixes" in found.verdict.message


def test_a_public_object_needs_no_identity() -> None:
    assert reason({"s3": {**OWN["s3"], "anonymous": True}}) in (None, Reason.RESOLVING)


@pytest.mark.parametrize("endpoint", ["https://evil.example.org", "http://169.254.169.254", "https://127.0.0.1:9000"])
def test_an_endpoint_is_one_that_the_installation_allows(endpoint: str) -> None:
    source = {"s3": {**OWN["s3"], "endpoint": endpoint}}
    assert reason(source, (f"{endpoint}/team",)) == Reason.SOURCE_FORBIDDEN
    assert reason({"s3": {**source["s3"], "anonymous": True}}) == Reason.SOURCE_FORBIDDEN


def test_a_signed_address_needs_tls() -> None:
    plain = {"s3": {**OWN["s3"], "endpoint": "http://files.example.org"}}
    assert reason(plain, ("http://files.example.org/team",)) == Reason.SOURCE_FORBIDDEN
    assert reason({"s3": {**plain["s3"], "anonymous": True}}) in (None, Reason.RESOLVING)
