"""Public objects in stores, looked at by the operator; those that the pods' identity may read are left to them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests import make
from tests.files import lora_file
from tests.object_stores import s3
from tests.object_stores.server import FakeStore, etag_of
from tests.unit.operator.secrets import Secrets
from tests.unit.operator.sources.asking import refused, resolved
from tests.web import Reply, Web, serving

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import Credentials, CredentialsRef
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.sources.artifacts.clients import ArtifactClients
from lorapool_operator.sources.facts import FactsReader
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.hub import HubClient
from lorapool_operator.sources.look import SourceReader
from lorapool_operator.sources.resolver import Resolver

KEY, CONTENT = "xl/pixel.safetensors", lora_file(rank=8)


@pytest.fixture
def store() -> Iterator[FakeStore]:
    with serving() as web:
        store = s3.s3(web, s3.public)
        store.put(f"loras/{KEY}", CONTENT)
        yield store


@pytest.fixture
async def resolver(store: FakeStore) -> AsyncIterator[Resolver]:
    facts = FactsReader()
    async with Headers((store.web.host,)) as headers:
        it = Resolver(
            SourceReader(HubClient("http://127.0.0.1:1"), headers, facts, ArtifactClients(()), Secrets()),
            lambda _: None,
        )
        yield it
        it.close()
        facts.close()


def from_store(web: Web, kind: str = "s3", **more: Any) -> Adapter:
    place = {"account": "models", "container": "loras"} if kind == "azure" else {"bucket": "loras"}
    at: dict[str, Any] = {**place, "key": KEY, "endpoint": web.url, "anonymous": True, **more}
    return make.adapter(source={kind: at})


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
async def test_a_public_object_is_read_by_its_header_and_noted_by_its_etag(
    store: FakeStore, resolver: Resolver, kind: str
) -> None:
    found = await resolved(resolver, from_store(store.web, kind))
    assert (found.rank, found.size_bytes, found.sha256) == (8, len(CONTENT), None)
    assert (found.revision, found.file) == (etag_of(CONTENT), "pixel.safetensors")
    assert all(asked is not None for asked in store.ranges)


async def test_what_only_pods_may_read_is_left_to_them(store: FakeStore, resolver: Resolver) -> None:
    adapter = from_store(store.web, anonymous=False)
    resolver.resolve(adapter)
    assert resolver.known(adapter) == Resolution()
    assert store.web.seen == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (s3.error(404, "NoSuchKey"), Reason.SOURCE_NOT_FOUND),
        (s3.error(403, "AccessDenied"), Reason.SOURCE_FORBIDDEN),
        (s3.error(503, "SlowDown"), Reason.SOURCE_UNAVAILABLE),
        (Reply(307, headers={"location": "http://169.254.169.254/"}), Reason.SOURCE_FORBIDDEN),
    ],
)
async def test_what_a_store_answers_is_a_reason(
    store: FakeStore, resolver: Resolver, answer: Reply, reason: Reason
) -> None:
    store.web.answers[f"/loras/{KEY}"] = answer
    found, message = await refused(resolver, from_store(store.web))
    assert found == reason
    assert f"{store.web.url}/loras/{KEY}" in message


async def test_a_header_in_two_pieces_is_of_one_content(store: FakeStore) -> None:
    contents = iter([CONTENT, lora_file(rank=8, seed=2)])

    def answer(request: Any) -> Reply:
        store.objects[f"/loras/{KEY}"] = next(contents)
        return store.answer(request)

    store.web.answers[f"/loras/{KEY}"] = answer
    async with Headers((store.web.host,), first_bytes=16) as headers:
        with pytest.raises(SourceRefused) as caught:
            await headers.of_object(f"{store.web.url}/loras/{KEY}", "s3://loras/x", is_provider=False, is_signed=False)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert "changed" in caught.value.message


@pytest.mark.parametrize("etag", ["", "bare", 'W/"weak"', '"', '"a"b"', f'"{"a" * 200}"', '"tab\t"'])
async def test_an_etag_that_names_no_content_is_none(store: FakeStore, resolver: Resolver, etag: str) -> None:
    store.web.answers[f"/loras/{KEY}"] = Reply(body=CONTENT, headers={"etag": etag})
    assert (await resolved(resolver, from_store(store.web))).revision is None


class StoreKeys:
    """A Secret with keys of a store."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.asked: list[CredentialsRef] = []

    async def read(self, ref: CredentialsRef) -> Credentials:
        self.asked.append(ref)
        return {name: SecretStr(value) for name, value in self.values.items()}


RIGHT = {"AWS_ACCESS_KEY_ID": s3.KEY_ID, "AWS_SECRET_ACCESS_KEY": s3.SECRET}


async def looked(store: FakeStore, keys: StoreKeys, adapter: Adapter) -> Resolution | SourceRefused:
    facts = FactsReader()
    async with Headers((f"http://{store.web.host}",)) as headers:
        reader = SourceReader(HubClient("http://127.0.0.1:1"), headers, facts, ArtifactClients(()), keys)
        try:
            return await reader.look(adapter.spec.source, "team")
        except SourceRefused as error:
            return error
        finally:
            facts.close()


async def test_a_store_is_asked_with_the_keys_of_the_adapters_own_secret(store: FakeStore) -> None:
    store.check = s3.signed_by({s3.KEY_ID: s3.SECRET})
    adapter = from_store(store.web, anonymous=False, credentialsSecretRef={"name": "keys"})
    keys = StoreKeys(**RIGHT)
    found = await looked(store, keys, adapter)
    assert isinstance(found, Resolution)
    assert found.revision == etag_of(CONTENT)
    assert keys.asked == [CredentialsRef(namespace="team", secret="keys")]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RIGHT | {"AWS_SECRET_ACCESS_KEY": "canary"}, Reason.SOURCE_FORBIDDEN),
        (RIGHT | {"AWS_ACCESS_KEY_ID": "canary"}, Reason.SOURCE_FORBIDDEN),
        ({"AWS_ACCESS_KEY_ID": "canary"}, Reason.INVALID_SECRET),
        ({"token": "canary"}, Reason.INVALID_SECRET),
    ],
)
async def test_wrong_keys_are_a_reason_and_are_not_shown(
    store: FakeStore, values: dict[str, str], reason: Reason
) -> None:
    store.check = s3.signed_by({s3.KEY_ID: s3.SECRET})
    adapter = from_store(store.web, anonymous=False, credentialsSecretRef={"name": "keys"})
    found = await looked(store, StoreKeys(**values), adapter)
    assert isinstance(found, SourceRefused)
    assert found.reason is reason
    assert not any(secret in found.message for secret in ("canary", s3.SECRET))
