"""What pods are given of Secrets: the catalog says which, and a pod names adapters alone."""

from tests.unit.operator.secrets import Secrets, token_ref

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.credentials import CredentialsRef
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_operator.reconcile.grants import grants


def entry(key: str, ref: CredentialsRef | None) -> CatalogEntry:
    return CatalogEntry(key=key, source=UrlFile(url="https://h/a", credentials=ref))


MINE, THEIRS = token_ref("mine", namespace="a"), token_ref("theirs", namespace="b")
CATALOG = Catalog.of([entry("a/one", MINE), entry("b/two", THEIRS), entry("a/three", None)])


async def test_an_adapter_has_the_credentials_that_it_names() -> None:
    secrets = Secrets({MINE: "canary-1", THEIRS: "canary-2"})
    found = await grants(secrets, CATALOG, frozenset({"a/one", "a/three", "c/unknown"}))
    assert {key: grant.values["token"].get_secret_value() for key, grant in found.items()} == {"a/one": "canary-1"}
    assert secrets.asked == [MINE]


async def test_what_may_not_be_read_is_told_to_the_pod_that_waits() -> None:
    found = await grants(Secrets(), CATALOG, frozenset({"a/one"}))
    assert found["a/one"].reason is Reason.SECRET_FORBIDDEN
    assert "may not read Secret mine" in found["a/one"].message
    assert found["a/one"].values == {}
