"""Sources that ask who is there: the token is for them alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests import make
from tests.files import lora_file
from tests.operator_hub import FakeHub, Repo
from tests.unit.operator.secrets import Secrets, token_ref
from tests.unit.operator.sources.asking import refused, resolved

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.resolver import Resolver

NAME = "pytorch_lora_weights.safetensors"
CANARY = "canary-7c1e"
TOKEN = {"tokenSecretRef": {"name": "hf", "key": "token"}}


@pytest.fixture
async def headers(hub: FakeHub) -> AsyncIterator[Headers]:
    """A host that takes tokens by http."""
    async with Headers((f"http://{hub.host}",)) as it:
        yield it


@pytest.fixture
def secrets() -> Secrets:
    return Secrets({token_ref(): CANARY})


def adapter(**source: Any) -> Adapter:
    return make.adapter(source=source)


async def test_a_private_repository_is_read_with_the_adapters_token(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file(rank=8)}, token=CANARY)
    assert (await resolved(resolver, adapter(hub={"repo": "a/b"}, **TOKEN))).rank == 8


@pytest.mark.parametrize("token", ["another", None])
async def test_whoever_may_not_read_a_repository_learns_nothing_of_it(
    hub: FakeHub, resolver: Resolver, secrets: Secrets, token: str | None
) -> None:
    """What pods have of it does not matter: the adapter never comes into their catalog."""
    hub.repos["a/b"] = Repo({NAME: lora_file()}, token=CANARY)
    secrets.tokens[token_ref()] = token or ""
    reason, message = await refused(resolver, adapter(hub={"repo": "a/b"}, **(TOKEN if token else {})))
    assert reason is Reason.SOURCE_NOT_FOUND
    assert "tokenSecretRef" in message
    assert CANARY not in message


async def test_an_address_that_asks_for_a_token_gets_it(hub: FakeHub, resolver: Resolver) -> None:
    hub.plain["a"], hub.plain_token = lora_file(rank=8), CANARY
    assert (await resolved(resolver, adapter(url=f"{hub.url}/plain/a", **TOKEN))).rank == 8
    reason, message = await refused(resolver, make.adapter("other", source={"url": f"{hub.url}/plain/a"}))
    assert reason is Reason.SOURCE_FORBIDDEN
    assert "tokenSecretRef can name one" in message


async def test_a_redirect_takes_the_token_to_no_other_host(hub: FakeHub, secrets: Secrets) -> None:
    async with FakeHub() as other, Headers((f"http://{hub.host}", f"http://{other.host}")) as headers:
        hub.redirects["a"], other.plain["b"] = f"{other.url}/plain/b", lora_file()
        token = (await secrets.read(token_ref()))["token"]
        assert (await headers.of_url(f"{hub.url}/plain/a", token)).size_bytes == len(lora_file())
        assert hub.bearers == {("/plain/a", f"Bearer {CANARY}")}
        assert other.bearers == {("/plain/b", "")}


async def test_a_token_is_not_sent_where_everybody_reads_it(hub: FakeHub, secrets: Secrets, resolver: Resolver) -> None:
    hub.plain["a"] = lora_file()
    async with Headers((hub.host,)) as headers:
        token = (await secrets.read(token_ref()))["token"]
        with pytest.raises(SourceRefused, match="https only"):
            await headers.of_url(f"{hub.url}/plain/a", token)
    assert hub.bearers == set()


async def test_a_secret_that_may_not_be_read_is_the_sources_verdict_and_nobody_is_asked(
    hub: FakeHub, resolver: Resolver, secrets: Secrets
) -> None:
    secrets.tokens.clear()
    reason, _ = await refused(resolver, adapter(hub={"repo": "a/b"}, **TOKEN))
    assert reason is Reason.SECRET_FORBIDDEN
    assert hub.asked == []
