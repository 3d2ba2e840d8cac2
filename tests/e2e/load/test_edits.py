"""An adapter is edited while it is asked for: no request fails, and each is answered by a file that was asked for."""

from collections.abc import Iterator

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import generate, pool_with_files
from tests.e2e.load.load import Load

# The header of `bad` is that of a good file: only a pod that reads its weights finds out.
FILES = {
    "first": files.lora_file(seed=41),
    "second": files.lora_file(seed=42),
    "bad": files.lora_file(seed=43, poison=float("nan")),
}
FIRST, SECOND, BAD = (files.sha256(content) for content in FILES.values())
TWO_PODS = 2


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    """A pool of two pods, and an adapter that is served from the first file."""
    with scratch_namespace(installation, "e2e-edits") as scratch:
        contents = {f"{name}.safetensors": content for name, content in FILES.items()}
        scratch.apply(*pool_with_files("rolling", scratch.namespace, contents, replicas=TWO_PODS))
        scratch.wait_ready("bmp", "rolling")
        wait_until(lambda: scratch.get("bmp", "rolling")["status"]["readyReplicas"] == TWO_PODS, "both pods are ready")
        edit(scratch, "first")
        scratch.wait_ready("lora", "edited")
        wait_until(lambda: generate(scratch, model(scratch), check=False).status == 200, "the gateway knows it")
        yield scratch


def model(cluster: Cluster) -> str:
    return f"{cluster.namespace}/edited"


def edit(cluster: Cluster, file: str) -> None:
    source = f"/adapters/{file}.safetensors"
    cluster.apply(make.adapter_manifest("edited", cluster.namespace, pool="rolling", path=source))


def serving(cluster: Cluster) -> str | None:
    """The sha256 of the version that status says is served."""
    found: str | None = cluster.get("lora", "edited")["status"]["serving"].get("sha256")
    return found


def test_no_request_fails_in_an_edit(cluster: Cluster) -> None:
    served, pinned, never = model(cluster), f"{model(cluster)}@sha256:{FIRST}", f"{model(cluster)}@sha256:{BAD}"
    with Load(cluster, (served, served, served, pinned)).running() as load:
        load.reach(served, lambda one: one.sha256 == FIRST, "the first file")
        for file, sha256 in (("second", SECOND), ("first", FIRST), ("second", SECOND)):
            edit(cluster, file)
            wait_until(lambda sha256=sha256: serving(cluster) == sha256, f"{file} has taken over")  # type: ignore[misc]
            rolled_s = load.reach(served, lambda one, sha256=sha256: one.sha256 == sha256, file)  # type: ignore[misc]
        edit(cluster, "bad")
        cluster.wait_reason("lora", "edited", "InvalidWeights", "UpToDate")
        refused = generate(cluster, never, check=False)
        load.reach(served, lambda one: one.sha256 == SECOND, "second")
        load.reach(pinned, lambda one: one.sha256 == FIRST, "what is pinned")

    assert load.failures(served) == []
    assert {one.sha256 for one in load.of(served)} == {FIRST, SECOND}
    assert {one.sha256 for one in load.of(served, rolled_s)} == {SECOND}, "a request is answered by what was served"
    assert {one.sha256 for one in load.of(pinned) if not one.failure} == {FIRST}
    assert [why for why in load.failures(pinned) if not (why.startswith("409") and SECOND in why)] == []
    assert refused.status == 409
    listed = refused.content.decode()
    assert SECOND in listed
    assert FIRST in listed
    assert serving(cluster) == SECOND
    assert cluster.condition("lora", "edited")["status"] == "True"
