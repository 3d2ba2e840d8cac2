"""Hostile files stop nobody: the operator's loop goes on while they are read, and its memory stays."""

import asyncio

import pytest
from tests import hostile, make
from tests.files import lora_file
from tests.operator_hub import FakeHub
from tests.unit.operator.secrets import Secrets
from tests.unit.operator.sources.asking import ask, settled

from lorapool_api.kinds.conditions import Reason
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.sources.artifacts.clients import ArtifactClients
from lorapool_operator.sources.facts import FactsReader
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.hub import HubClient
from lorapool_operator.sources.look import SourceReader
from lorapool_operator.sources.resolver import Resolver

STALL_S = 0.05
GROWN_BYTES = 64 * hostile.MIB
FILES = hostile.hostile_files()
REFUSED = {
    "metadata of tiny entries": "at most",
    "metadata of tiny objects": "at most",
    "the same with wide characters": "at most",
    "as many tensors as are read": "changes 9990 modules",
}


@pytest.mark.usefixtures("no_collection")
async def test_eight_hostile_files_at_once_hold_up_neither_the_loop_nor_a_good_one(
    hub: FakeHub, headers: Headers
) -> None:
    facts, found = FactsReader(), asyncio.Event()
    resolver = Resolver(
        SourceReader(HubClient(hub.url), headers, facts, ArtifactClients(()), Secrets()), lambda _: found.set()
    )
    names = [*FILES, "good"]
    hub.plain = dict(zip(map(str, range(9)), [*FILES.values(), lora_file()], strict=True))
    adapters = {n: make.adapter(f"a{i}", source={"url": f"{hub.url}/plain/{i}"}) for i, n in enumerate(names)}
    outcomes: dict[str, Outcome] = {}
    # The first look of a process imports and connects: that is no cost of the files.
    await settled(resolver, adapters["good"])
    async with hostile.measured() as cost, asyncio.timeout(120):
        while len(outcomes) < len(names):
            found.clear()
            for name, adapter in adapters.items():
                if not isinstance(outcome := ask(resolver, adapter), Resolving):
                    outcomes[name] = outcome
            if len(outcomes) < len(names):
                await found.wait()
    resolver.close()
    facts.close()
    for name, outcome in outcomes.items():
        if name in REFUSED:
            assert isinstance(outcome, Unresolved), name
            assert outcome.verdict.reason in (Reason.INVALID_WEIGHTS, Reason.UNSUPPORTED_FORMAT)
            assert REFUSED[name] in outcome.verdict.message
        else:
            assert isinstance(outcome, Resolution), (name, outcome)
    assert cost.longest_stall_s <= STALL_S
    assert cost.grown_bytes <= GROWN_BYTES
