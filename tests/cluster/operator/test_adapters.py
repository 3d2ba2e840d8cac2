"""What becomes of adapters: joined, refused with a reason, served, removed."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster, until
from tests.files import MODULE, lora_file, sha256, whole_model_file
from tests.operator_hub import COMMIT, FakeHub, Repo

from lorapool_api.kinds.conditions import AdapterCondition, Reason, find
from lorapool_api.names import ADAPTER_FINALIZER, CONFIG_ENV
from lorapool_api.wire.sources.basic import HubFile
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, NAMESPACES, POOLS

pytestmark = pytest.mark.plane

FITTING = {"unet": {MODULE: (16, 32)}}
OTHER = {"unet": {MODULE: (16, 64)}}


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as running:
        yield running


@pytest.fixture
async def it(plane: Any, tmp_path: Path, hub: FakeHub) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, hub.url) as running:
        running.start_operator()
        yield running


def from_hub(repo: str, **more: Any) -> dict[str, Any]:
    return {"source": {"hub": {"repo": repo, **more}}}


async def test_an_adapter_waits_for_its_pool_and_joins_when_it_comes(it: Cluster) -> None:
    await it.make_adapter()
    waiting = await it.adapter_says("PoolNotFound")
    assert ADAPTER_FINALIZER not in waiting.metadata.finalizers
    await it.make_pool()
    served = await it.adapter_says("Served")
    assert served.is_ready
    assert ADAPTER_FINALIZER in served.metadata.finalizers
    assert (served.status.pods.ready, served.status.pods.total) == (1, 1)


async def test_a_hub_adapter_is_pinned_to_its_commit_and_its_facts_are_told(it: Cluster, hub: FakeHub) -> None:
    content = lora_file("kohya", rank=8)
    hub.repos["nerijs/pixel"] = Repo({"pixel.safetensors": content})
    it.kubelet.template = {"modules": FITTING}
    await it.make_pool()
    await it.make_adapter(**from_hub("nerijs/pixel"))
    resolved = (await it.adapter_says("Served")).status.resolved
    assert (resolved.revision, resolved.file) == (COMMIT, "pixel.safetensors")
    assert (resolved.sha256, resolved.size_bytes) == (sha256(content), len(content))
    assert (resolved.rank, resolved.targets, resolved.format) == (8, 1, "kohya")
    entry = (it.kubelet.only().entries or {})[f"{it.namespace}/pixel"]
    assert entry.source == HubFile(repo="nerijs/pixel", revision=COMMIT, file="pixel.safetensors")
    assert entry.sha256 == sha256(content)


async def test_adapters_that_fail_say_why_and_hold_up_no_other(it: Cluster, hub: FakeHub) -> None:
    good, large = lora_file(rank=4), lora_file(rank=16)
    hub.repos |= {
        "a/whole": Repo({"model.safetensors": whole_model_file()}),
        "b/empty": Repo({"README.md": b"nothing"}),
        "c/gated": Repo({}, status=403, error_code="GatedRepo"),
        "d/cut": Repo({"pytorch_lora_weights.safetensors": good[:-10]}),
        "e/high": Repo({"pytorch_lora_weights.safetensors": large}),
        "f/pinned": Repo({"pytorch_lora_weights.safetensors": good}),
        "z/good": Repo({"pytorch_lora_weights.safetensors": good}),
    }
    it.kubelet.template = {"modules": FITTING}
    await it.make_pool(adapters={"maxRank": 8})
    wanted = {
        "whole": ("NotALora", "whole model", {}),
        "empty": ("SourceNotFound", "no safetensors file", {}),
        "gated": ("SourceForbidden", "gated", {}),
        "cut": ("InvalidWeights", "cut off", {}),
        "high": ("RankTooHigh", "rank 16", {}),
        "pinned": ("ChecksumMismatch", "spec.sha256", {"sha256": "0" * 64}),
        "missing": ("SourceNotFound", "no repository", {}),
    }
    repos = {r.partition("/")[2]: r for r in hub.repos} | {"missing": "g/missing"}
    for name, (_, _, more) in wanted.items():
        await it.make_adapter(name, **from_hub(repos[name]), **more)
    await it.make_adapter("elsewhere", source={"url": "https://example.org/x.safetensors"})
    await it.make_adapter("unmounted", source={"path": "/etc/x.safetensors"})
    await it.make_adapter("good", **from_hub("z/good"))

    await it.adapter_says("Served", "good")
    for name, (reason, words, _) in wanted.items():
        adapter = await it.adapter_says(reason, name)
        ready = find(adapter.status.conditions, AdapterCondition.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", reason)
        assert words in ready.message, name
    await it.adapter_says("SourceForbidden", "elsewhere")
    await it.adapter_says("SourceForbidden", "unmounted")
    assert set(it.kubelet.only().entries or {}) == {f"{it.namespace}/good"}

    async def counts() -> Any:
        pool = await it.get(POOLS, "shapes")
        return pool["status"]["adapters"] if pool else None

    expected = {"total": 10, "ready": 1, "failed": 9, "copies": 1, "unplaced": 0}
    await until(counts, lambda c: c == expected)


async def test_an_adapter_for_another_base_is_refused_before_any_pod_downloads_it(it: Cluster, hub: FakeHub) -> None:
    hub.repos["a/b"] = Repo({"pytorch_lora_weights.safetensors": lora_file()})
    it.kubelet.template = {"modules": OTHER}
    await it.make_pool()
    await it.pool_says("Ready", "True", "Available")
    await it.make_adapter(**from_hub("a/b"))
    refused = await it.adapter_says("BaseModelMismatch")
    fit = find(refused.status.conditions, AdapterCondition.COMPATIBLE)
    assert fit is not None
    assert fit.status == "False"
    assert "16 x 64 in the base, 16 x 32 in the file" in fit.message
    assert refused.status.resolved.rank == 4
    assert not it.kubelet.only().entries


async def test_of_two_adapters_with_one_name_the_older_has_it_until_it_goes(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter("a-second", modelIds=["people/say"])
    await it.adapter_says("Served", "a-second")
    # creationTimestamp has whole seconds: within one second the smaller name is the older.
    await it.make_adapter("b-later", modelIds=["people/say"])
    loser = await it.adapter_says("NameConflict", "b-later")
    assert f"'people/say' belongs to adapter {it.namespace}/a-second" in loser.status.conditions[0].message
    assert (await it.adapter_says("Served", "a-second")).is_ready
    await it.delete(ADAPTERS, "a-second")
    await it.adapter_says("Served", "b-later")


async def test_a_suspended_adapter_leaves_the_pods_and_comes_back(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter()
    await it.adapter_says("Served")
    await it.edit(ADAPTERS, "pixel", {"spec": {"suspend": True}})
    await it.adapter_says("Suspended")

    async def entries() -> Any:
        return it.kubelet.only().entries

    await until(entries, lambda held: held == {})
    await it.edit(ADAPTERS, "pixel", {"spec": {"suspend": False}})
    await it.adapter_says("Served")


async def test_one_pod_that_fails_is_listed_and_all_that_fail_are_the_reason(it: Cluster) -> None:
    await it.make_pool(replicas=2)
    await it.pods(2)
    await it.make_adapter()
    await it.adapter_says("Served")
    (bad_name, bad), (_, good) = it.kubelet.pods.items()
    failure = {f"{it.namespace}/pixel": (Reason.INVALID_WEIGHTS, "NaN in down_blocks")}
    await bad.change(failures=failure)

    async def pods() -> Any:
        return (await it.adapter_says("Served")).status.pods

    found = await until(pods, lambda p: p.ready == 1)
    assert [(f.pod, f.reason, f.message) for f in found.failed] == [(bad_name, "InvalidWeights", "NaN in down_blocks")]
    await good.change(failures=failure)
    failed = await it.adapter_says("InvalidWeights")
    assert "NaN in down_blocks" in failed.status.conditions[1].message
    assert failed.status.pods.ready == 0


async def test_deleting_an_adapter_removes_it_from_every_pod_first(it: Cluster) -> None:
    await it.make_pool(replicas=2)
    await it.pods(2)
    await it.make_adapter()
    await it.adapter_says("Served")
    for pod in it.kubelet.pods.values():
        pod.slow_s = 0.5
    await it.delete(ADAPTERS, "pixel")
    terminating = await it.get(ADAPTERS, "pixel")
    assert terminating is not None
    assert ADAPTER_FINALIZER in terminating["metadata"]["finalizers"]
    await it.gone(ADAPTERS, "pixel")
    assert all(pod.entries == {} for pod in it.kubelet.pods.values())


async def test_a_dead_pod_does_not_block_deletion(it: Cluster) -> None:
    await it.make_pool(replicas=2)
    await it.pods(2)
    await it.make_adapter()
    await it.adapter_says("Served")
    hung, alive = it.kubelet.pods.values()
    hung.hangs = True
    began = time.monotonic()
    await it.delete(ADAPTERS, "pixel")
    await it.gone(ADAPTERS, "pixel")
    assert time.monotonic() - began < 15
    assert alive.entries == {}


async def test_an_edit_of_the_scale_reaches_the_pods_and_does_not_ask_the_hub(it: Cluster, hub: FakeHub) -> None:
    hub.repos["a/b"] = Repo({"pytorch_lora_weights.safetensors": lora_file()})
    await it.make_pool()
    await it.make_adapter(**from_hub("a/b"))
    await it.adapter_says("Served")
    pod = it.kubelet.only()
    await it.edit(ADAPTERS, "pixel", {"spec": {"scale": 0.5}})
    await it.adapter_says("Served")
    assert (pod.entries or {})[f"{it.namespace}/pixel"].scale == 0.5
    assert hub.infos == 1


async def test_a_source_that_was_away_is_tried_again(it: Cluster, hub: FakeHub) -> None:
    repo = hub.repos["a/b"] = Repo({"pytorch_lora_weights.safetensors": lora_file()}, status=503)
    await it.make_pool()
    await it.make_adapter(**from_hub("a/b"))
    await it.adapter_says("SourceUnavailable")
    repo.status = 200
    await it.adapter_says("Served", timeout_s=30)


async def test_namespaces_join_as_the_pool_allows(plane: Any, tmp_path: Path, hub: FakeHub) -> None:
    async with cluster(plane, tmp_path, hub.url, cluster_wide=True) as it:
        other = f"{it.namespace}-other"
        await it.kube.create(NAMESPACES, None, {"metadata": {"name": other, "labels": {"team": "red"}}})
        try:
            it.start_operator()
            await it.make_pool()
            await it.make_adapter(namespace=other, poolRef={"name": "shapes", "namespace": it.namespace})
            await it.adapter_says("NamespaceNotAllowed", namespace=other)
            selecting = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}}
            await it.edit(POOLS, "shapes", {"spec": {"adapters": selecting}})
            await it.adapter_says("NamespaceNotAllowed", namespace=other)
            await it.kube.patch(NAMESPACES, None, other, {"metadata": {"labels": {"team": "blue"}}})
            await it.adapter_says("Served", namespace=other)
        finally:
            await it.kube.patch(ADAPTERS, other, "pixel", {"metadata": {"finalizers": None}})
            await it.kube.remove(NAMESPACES, None, other)


async def test_pods_are_told_the_commit_of_their_base_and_keep_it(it: Cluster, hub: FakeHub) -> None:
    hub.repos["big/base"] = Repo({})
    await it.make_pool(model={"source": {"hub": {"repo": "big/base"}}})
    await it.pool_says("Ready", "True", "Available")
    hub.repos["big/base"].commit = "f" * 40

    await it.edit(POOLS, "shapes", {"spec": {"replicas": 2}})
    await it.pods(2)

    deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
    assert deployment is not None
    env = {e["name"]: e.get("value") for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert json.loads(env[CONFIG_ENV])["model"]["source"]["hub"]["revision"] == COMMIT


async def test_a_base_that_is_in_no_repository_is_said_to_be(it: Cluster) -> None:
    it.kubelet.template = {"warm": False}
    await it.make_pool(model={"source": {"hub": {"repo": "lorapool/nothere"}}})
    degraded = await it.pool_says("Degraded", "True", "SourceNotFound")
    assert "lorapool/nothere at main is no repository of the Hub" in degraded.message
