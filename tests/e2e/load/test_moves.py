"""Which pool serves an adapter: one that moves, one that names none, and one that nobody declared."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.embedded import embedded_installation
from tests.e2e.images import generate, pool_with_files
from tests.e2e.load.load import Load

from lorapool_hub import app, server
from lorapool_local.binaries import Binaries

WEIGHTS = Path(__file__).parents[3] / "models" / "weights"
BASE = "lorapool/shapes-xl"
FILES = {"mover.safetensors": files.lora_file(seed=31)}


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    with scratch_namespace(installation, "e2e-moves") as scratch:
        yield scratch


def test_an_adapter_moves_under_load_and_no_request_fails(cluster: Cluster) -> None:
    space = cluster.namespace
    cluster.apply(*pool_with_files("old", space, FILES), *pool_with_files("new", space, FILES))
    cluster.wait_ready("bmp", "old", "new")
    cluster.apply(make.adapter_manifest("mover", space, pool="old"))
    cluster.wait_ready("lora", "mover")
    wait_until(lambda: generate(cluster, f"{space}/mover", check=False).status == 200, "the gateway knows it")
    model = f"{space}/mover"
    with Load(cluster, (model, model, model)).running() as load:
        load.reach(model, lambda one: one.pool == f"{space}/old", "old")
        cluster.apply(make.adapter_manifest("mover", space, pool="nowhere"))
        cluster.wait_reason("lora", "mover", "PoolNotFound", "Accepted")
        assert cluster.condition("lora", "mover")["status"] == "True"
        for pool in ("new", "old", "new"):
            cluster.apply(make.adapter_manifest("mover", space, pool=pool))
            load.reach(model, lambda one, pool=pool: one.pool == f"{space}/{pool}", pool)  # type: ignore[misc]
    assert load.failures(model) == []
    assert cluster.get("lora", "mover")["status"]["poolName"] == f"{space}/new"
    cluster.delete("bmp", "old")
    cluster.delete("lora", "mover")


@pytest.fixture(scope="module")
def beside_a_hub(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An installation whose Hub is the small one, with a pool of its base that serves what nobody declared."""
    with (
        server.running(app.serving(WEIGHTS)) as url,
        embedded_installation(tmp_path_factory.mktemp("hub"), binaries, "--set", f"hub.endpoint={url}") as installed,
        scratch_namespace(installed, "e2e-hub") as scratch,
    ):
        model = {"source": {"path": "/models/shapes-xl"}, "aliases": [BASE], "dtype": "float32"}
        adapters = {"undeclared": "Hub"}
        scratch.apply(*pool_with_files("shapes", scratch.namespace, FILES, model=model, adapters=adapters))
        scratch.wait_ready("bmp", "shapes")
        yield scratch


def sha256_of(folder: str) -> str:
    (file,) = (WEIGHTS / "adapters" / folder).glob("pytorch_lora_weights.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_an_adapter_without_a_pool_is_served_by_that_of_its_base(beside_a_hub: Cluster) -> None:
    cluster = beside_a_hub
    manifest = make.adapter_manifest("heart", cluster.namespace, source={"hub": {"repo": "lorapool/heart"}})
    del manifest["spec"]["poolRef"]
    cluster.apply(manifest)
    cluster.wait_ready("lora", "heart")
    status = cluster.get("lora", "heart")["status"]
    assert status["poolName"] == f"{cluster.namespace}/shapes"
    assert status["resolved"]["baseModels"] == [BASE]
    wait_until(lambda: generate(cluster, "heart", check=False).status == 200, "the gateway knows it")
    assert generate(cluster, "heart").adapters[0]["sha256"] == sha256_of("heart")


def test_what_nobody_declared_is_served_on_demand(beside_a_hub: Cluster) -> None:
    cluster = beside_a_hub
    image = generate(cluster, "lorapool/pixel")
    assert image.adapters[0] | {"scale": 1.0} == {
        "key": "hub:lorapool/pixel",
        "sha256": sha256_of("pixel"),
        "scale": 1.0,
    }
    stack = generate(cluster, "shapes", lora="lorapool/pixel:0.8, lorapool/watercolour:0.5")
    assert [used["scale"] for used in stack.adapters] == [0.8, 0.5]
    assert stack.content != image.content
    refusals = {repo: generate(cluster, f"lorapool/{repo}", check=False).status for repo in ("nothing", "no-lora")}
    assert refusals == {"nothing": 404, "no-lora": 422}
    cluster.apply(make.pool_manifest("denies", cluster.namespace, replicas=0))
    cluster.run("patch", "bmp", "shapes", "--type=merge", "-p", '{"spec": {"adapters": {"undeclared": "Deny"}}}')
    wait_until(lambda: generate(cluster, "lorapool/pixel", check=False).status == 404, "it is denied")
