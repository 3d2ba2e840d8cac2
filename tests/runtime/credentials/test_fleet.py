"""Pods of one pool and a source that asks for a token: one has it, all serve."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.runtime.credentials.guarded import KEY, asks, deliver, entry, granted, guard, refused
from tests.runtime.pods import Running, config, eventually, free_port, settings, started
from tests.web import Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import AdapterPhase

NAMES = ("pod-0", "pod-1", "pod-2")


@pytest.fixture
async def pods(tmp_path: Path, web: Web) -> AsyncIterator[list[Running]]:
    """In the order in which it is their turn."""
    guard(web)
    peers = {name: f"127.0.0.1:{free_port()}" for name in NAMES}
    async with AsyncExitStack() as stack:
        by_name: dict[str, Running] = {}
        for name, address in peers.items():
            folder = tmp_path / name
            folder.mkdir()
            own = config(folder, url_hosts=(f"http://{web.host}",))
            port = int(address.rpartition(":")[2])
            pod = await stack.enter_async_context(started(settings(folder, own, pod_name=name, control_port=port)))
            assignment = Assignment.of(name, peers, {KEY})
            await pod.control.put("/v1/assignment", json=assignment.model_dump(mode="json"))
            by_name[name] = pod
        yield [by_name[name] for name in Nodes(dict.fromkeys(NAMES, 1.0)).ranked(KEY)]


async def test_one_pod_asks_for_the_token_and_the_others_take_the_file_from_it(pods: list[Running], web: Web) -> None:
    for pod in pods:
        await pod.apply(entry(web))
    first, *others = pods
    await asks(first)
    await eventually(lambda: all(KEY in pod.runtime.state().adapters for pod in others))
    await deliver(first, granted())
    for pod in pods:
        assert (await pod.until(KEY)).phase is AdapterPhase.READY
    assert [pod.runtime.state().awaits_credentials for pod in others] == [frozenset()] * 2
    assert web.count("GET", "/private.safetensors") == 1


async def test_all_say_why_the_one_whose_turn_it_is_has_none(pods: list[Running], web: Web) -> None:
    for pod in pods:
        await pod.apply(entry(web))
    await asks(pods[0])
    await deliver(pods[0], refused())
    for pod in pods:
        assert (await pod.until(KEY)).reason is Reason.SECRET_FORBIDDEN
    assert web.seen == []
