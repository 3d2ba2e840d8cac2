"""A Hub that answers over HTTP, and what resolves sources there."""

from collections.abc import AsyncIterator

import pytest
from tests.operator_hub import FakeHub
from tests.unit.operator.secrets import Secrets

from lorapool_operator.sources.artifacts.clients import ArtifactClients
from lorapool_operator.sources.facts import FactsReader
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.hub import HubClient
from lorapool_operator.sources.look import SourceReader
from lorapool_operator.sources.resolver import Resolver


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as running:
        yield running


@pytest.fixture
async def headers(hub: FakeHub) -> AsyncIterator[Headers]:
    async with Headers((hub.host,)) as it:
        yield it


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
async def resolver(hub: FakeHub, headers: Headers, secrets: Secrets) -> AsyncIterator[Resolver]:
    facts = FactsReader()
    it = Resolver(SourceReader(HubClient(hub.url), headers, facts, ArtifactClients(()), secrets), lambda _: None)
    yield it
    it.close()
    facts.close()
