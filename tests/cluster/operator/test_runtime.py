"""The operator with real runtime pods (stub engine) on the plane's node: both sides of the contract, none faked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster, until
from tests.files import lora_file, sha256, whole_model_file

from lorapool_api.kinds.conditions import Reason
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_common.kube.resources import ADAPTERS, PODS, POOLS

pytestmark = pytest.mark.plane


@pytest.fixture
async def it(plane: Any, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, "http://127.0.0.1:1", enforce="privileged", fake_pods=False) as running:
        running.start_operator(LORAPOOL_RUNTIME_IMAGE="lorapool-runtime:test")
        yield running


def template(files: Path) -> dict[str, Any]:
    """A folder of this machine, mounted at /adapters."""
    return {
        "spec": {
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
            "containers": [{"name": "runtime", "volumeMounts": [{"name": "files", "mountPath": "/adapters"}]}],
            "volumes": [{"name": "files", "hostPath": {"path": str(files)}}],
        }
    }


async def test_files_become_served_or_say_what_is_wrong_with_them(it: Cluster, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    contents = {
        "good": lora_file("kohya", rank=8),
        "whole": whole_model_file(),
        "nan": lora_file(poison=float("nan")),
        "cut": lora_file()[:-8],
        "pinned": lora_file(),
    }
    for name, content in contents.items():
        (files / f"{name}.safetensors").write_bytes(content)
    await it.make_pool(template=template(files))
    for name in (*contents, "missing"):
        pin = {"sha256": "0" * 64} if name == "pinned" else {}
        await it.make_adapter(name, path=f"/adapters/{name}.safetensors", **pin)

    good = await it.adapter_says("Served", "good", timeout_s=60)
    assert good.status.resolved.sha256 == sha256(contents["good"])
    assert (good.status.resolved.rank, good.status.resolved.format) == (8, "kohya")
    for name, reason in (
        ("whole", Reason.NOT_A_LORA),
        ("nan", Reason.INVALID_WEIGHTS),
        ("cut", Reason.INVALID_WEIGHTS),
        ("pinned", Reason.CHECKSUM_MISMATCH),
        ("missing", Reason.SOURCE_NOT_FOUND),
    ):
        await it.adapter_says(reason, name)
    await it.pool_says("Ready", "True", "Available", timeout_s=30)

    (files / "good.safetensors").write_bytes(lora_file("peft", rank=2))
    await it.edit(ADAPTERS, "good", {"spec": {"scale": 0.5}})
    edited = await it.adapter_says("Served", "good")
    assert edited.status.resolved.sha256 == sha256(contents["good"]), "an edit of something else moves no weights"
    await it.edit(ADAPTERS, "good", {"metadata": {"annotations": {REFRESH_ANNOTATION: "1"}}})

    async def served() -> Any:
        return (await it.adapter_says("Served", "good")).status.resolved.sha256

    await until(served, lambda found: found == sha256(lora_file("peft", rank=2)))
    await it.delete(ADAPTERS, "good")
    await it.gone(ADAPTERS, "good")


async def test_a_pod_that_is_replaced_serves_all_again(it: Cluster, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "pixel.safetensors").write_bytes(lora_file())
    await it.make_pool(template=template(files))
    await it.make_adapter()
    await it.adapter_says("Served", timeout_s=60)
    (before,) = await it.kube.list(PODS, it.namespace)
    await it.delete(PODS, before["metadata"]["name"])

    async def pods() -> Any:
        found = await it.get(ADAPTERS, "pixel")
        listed = await it.kube.list(PODS, it.namespace)
        others = [p for p in listed if p["metadata"]["uid"] != before["metadata"]["uid"]]
        return len(listed), len(others), found and found["status"]["summary"]

    await until(pods, lambda seen: seen == (1, 1, "Served"), 60)
    await it.edit(POOLS, "shapes", {"spec": {"replicas": 0}})
    await it.adapter_says("WaitingForPods")
