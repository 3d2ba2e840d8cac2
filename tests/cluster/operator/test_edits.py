"""Edits of adapters that are served: another version beside it, the take-over, the way back."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster, until
from tests.files import lora_file, sha256, whole_model_file
from tests.operator_hub import FakeHub, Repo

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_common.kube.resources import ADAPTERS

pytestmark = pytest.mark.plane

FIRST, SECOND = lora_file(seed=1), lora_file(seed=2)
NAME = "pytorch_lora_weights.safetensors"


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as running:
        running.repos = {"a/one": Repo({NAME: FIRST}), "a/two": Repo({NAME: SECOND}, commit="beef" * 10)}
        yield running


@pytest.fixture
async def it(plane: Any, tmp_path: Path, hub: FakeHub) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, hub.url) as running:
        running.start_operator()
        await running.make_pool()
        await running.make_adapter(source=of("a/one"))
        await running.adapter_says("Served", timeout_s=60.0)
        yield running


def of(repo: str) -> dict[str, Any]:
    return {"hub": {"repo": repo}}


async def edit(it: Cluster, source: dict[str, Any]) -> None:
    """Another kind of source takes the place of the one before."""
    gone = dict.fromkeys(("hub", "url", "path"))
    await it.edit(ADAPTERS, "pixel", {"spec": {"source": gone | source}})


async def serves(it: Cluster, content: bytes, timeout_s: float = 60.0) -> Any:
    """The adapter, once its status names that file."""

    async def read() -> Any:
        return Adapter.model_validate(await it.kube.get(ADAPTERS, it.namespace, "pixel"))

    return await until(
        read, lambda a: a.status.serving is not None and a.status.serving.sha256 == sha256(content), timeout_s
    )


async def test_an_edit_takes_over_when_pods_have_it_and_back_at_once(it: Cluster, hub: FakeHub) -> None:
    pod, key = it.kubelet.only(), f"{it.namespace}/pixel"
    pod.holds_back_only = f"{key}@"
    await edit(it, of("a/two"))
    rolling = await it.adapter_says("Downloading")
    assert rolling.is_ready
    assert rolling.status.serving.sha256 == sha256(FIRST)
    assert rolling.status.candidate.sha256 == sha256(SECOND)
    await pod.change(holds_back_only="")
    rolled = await serves(it, SECOND)
    assert rolled.is_ready
    assert rolled.status.resolved.sha256 == sha256(SECOND)
    assert set(pod.entries or {}) == {key, rolled.status.serving.key}

    asked, began = len(hub.asked), time.monotonic()
    await edit(it, of("a/one"))
    back = await serves(it, FIRST)
    assert time.monotonic() - began < 2.0
    assert (back.status.serving.key, len(hub.asked)) == (key, asked), "nothing is resolved or brought"


async def test_one_that_turns_out_bad_is_told_and_changes_nothing(it: Cluster, hub: FakeHub) -> None:
    hub.repos["a/model"] = Repo({NAME: whole_model_file()})
    before = dict(it.kubelet.only().entries or {})
    await edit(it, of("a/model"))
    refused = await it.adapter_says("NotALora")
    assert refused.is_ready
    assert refused.status.serving.sha256 == sha256(FIRST)
    assert it.kubelet.only().entries == before
    await edit(it, of("a/missing"))
    assert (await it.adapter_says("SourceNotFound")).is_ready
    await edit(it, of("a/one"))
    assert (await it.adapter_says("Served")).status.candidate is None
    assert it.kubelet.only().entries == before


async def test_an_operator_that_restarts_in_the_middle_goes_on(it: Cluster, hub: FakeHub) -> None:
    pod = it.kubelet.only()
    pod.holds_back_only = f"{it.namespace}/pixel@"
    await edit(it, of("a/two"))
    await it.adapter_says("Downloading")
    assert await it.stop_operator(it.processes[-1]) == 0
    keys, asked = set(pod.entries or {}), len(hub.asked)
    it.start_operator("two")
    await pod.change(holds_back_only="")
    await serves(it, SECOND)
    assert set(pod.entries or {}) == keys
    assert len(hub.asked) == asked


async def test_an_edit_while_no_operator_runs_is_seen_by_the_next(it: Cluster) -> None:
    assert await it.stop_operator(it.processes[-1]) == 0
    await edit(it, of("a/two"))
    it.start_operator("two")
    rolled = await serves(it, SECOND)
    assert rolled.status.previous is not None
    assert rolled.status.previous.sha256 == sha256(FIRST)


async def test_a_branch_that_moved_is_followed_when_somebody_asks(it: Cluster, hub: FakeHub) -> None:
    hub.repos["a/one"] = Repo({NAME: SECOND}, commit="beef" * 10)
    await it.edit(ADAPTERS, "pixel", {"spec": {"triggerWords": ["foo"]}})
    unmoved = await it.adapter_says("Served")
    assert unmoved.status.serving.sha256 == sha256(FIRST)
    await it.edit(ADAPTERS, "pixel", {"metadata": {"annotations": {REFRESH_ANNOTATION: "1"}}})
    rolled = await serves(it, SECOND, timeout_s=60.0)
    assert rolled.status.serving.refresh == "1"


async def test_a_branch_that_is_followed_takes_over_when_it_moves_and_only_then(it: Cluster, hub: FakeHub) -> None:
    assert await it.stop_operator(it.processes[-1]) == 0
    it.start_operator("two", LORAPOOL_FOLLOW_S="1")
    await it.edit(ADAPTERS, "pixel", {"spec": {"follow": True}})
    before, asked = await it.adapter_says("Served"), len(hub.asked)
    await until(_asked(hub), lambda count: count >= asked + 2, 60.0)
    unmoved = await it.adapter_says("Served")
    assert unmoved.metadata.resource_version == before.metadata.resource_version, "nothing is written"
    pod = it.kubelet.only()
    pod.holds_back_only = f"{it.namespace}/pixel@"
    hub.repos["a/one"] = Repo({NAME: SECOND}, commit="beef" * 10)
    rolling = await it.adapter_says("Downloading")
    assert (rolling.is_ready, rolling.status.serving.sha256) == (True, sha256(FIRST))
    await pod.change(holds_back_only="")
    rolled = await serves(it, SECOND)
    assert (rolled.is_ready, rolled.status.serving.revision) == (True, "beef" * 10)
    hub.repos["a/one"] = Repo({NAME: whole_model_file()}, commit="dead" * 10)
    refused = await it.adapter_says("NotALora")
    assert (refused.is_ready, refused.status.serving.sha256) == (True, sha256(SECOND))
    await it.edit(ADAPTERS, "pixel", {"spec": {"follow": False}})
    assert (await it.adapter_says("Served")).status.candidate is None


def _asked(hub: FakeHub) -> Callable[[], Awaitable[int]]:
    async def read() -> int:
        return len(hub.asked)

    return read


async def test_an_address_keeps_what_pods_found_there_until_somebody_asks(it: Cluster, hub: FakeHub) -> None:
    url, pod, key = f"{hub.url}/plain/x.safetensors", it.kubelet.only(), f"{it.namespace}/pixel"
    hub.plain["x.safetensors"], pod.files[url] = FIRST, sha256(FIRST)
    await edit(it, {"url": url})
    pinned = await until(lambda: _pin(it), lambda pins: len(pins) == 2 and None not in pins.values())
    assert key in pinned
    pod.files[url] = sha256(SECOND)
    await it.edit(ADAPTERS, "pixel", {"spec": {"triggerWords": ["foo"]}})
    await it.adapter_says("Served")
    assert await _pin(it) == pinned


async def _pin(it: Cluster) -> dict[str, str | None]:
    return {entry.key: entry.sha256 for entry in (it.kubelet.only().entries or {}).values()}


async def test_deleting_an_adapter_removes_all_of_its_versions(it: Cluster) -> None:
    pod = it.kubelet.only()
    await edit(it, of("a/two"))
    await serves(it, SECOND)
    await it.delete(ADAPTERS, "pixel")
    await it.gone(ADAPTERS, "pixel")
    assert pod.entries == {}
