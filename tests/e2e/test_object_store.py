"""From objects in a store that checks signatures to images: with keys of a Secret, and with the pods' identity."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import files, make
from tests.e2e.cluster import scratch_namespace
from tests.e2e.embedded import embedded_installation
from tests.e2e.images import generate
from tests.e2e.test_private import let_read, logs
from tests.object_stores import s3
from tests.object_stores.server import FakeStore, etag_of
from tests.web import serving

from lorapool_local.binaries import Binaries

CANARY = "canary5f0e2c/of+the+store"
MINE = files.lora_file()


@pytest.fixture
def store() -> Iterator[FakeStore]:
    with serving() as web:
        store = s3.s3(web, s3.signed_by({s3.KEY_ID: CANARY}))
        for name in ("mine", "pods"):
            store.put(f"team/xl/{name}.safetensors", MINE)
        for name in ("adapter_config.json", "embeddings.safetensors", "none.safetensors"):
            store.announce(f"team/xl/{name}")
        yield store


def from_store(store: FakeStore, name: str, namespace: str, key: str | None = None, **how: Any) -> make.Manifest:
    place = {"bucket": "team", "key": f"xl/{key or name}.safetensors", "endpoint": store.web.url}
    return make.adapter_manifest(name, namespace, source={"s3": place | how})


def pool(namespace: str, store: FakeStore) -> make.Manifest:
    """Its pods have an identity, which adapters may use for one prefix."""
    keys = {"AWS_ACCESS_KEY_ID": s3.KEY_ID, "AWS_SECRET_ACCESS_KEY": CANARY}
    environment = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "store-keys", "key": name}}} for name in keys]
    template = {"spec": {"containers": [{"name": "runtime", "env": environment}]}}
    return make.pool_manifest(
        "shapes",
        namespace,
        runtime={"engine": "stub", "device": "cpu", "podTemplate": template},
        adapters={"identityPrefixes": [f"{store.web.url}/team/xl"]},
        serving={"defaults": {"width": 64, "height": 64, "steps": 2}},
    )


@pytest.mark.timeout(240)  # it starts a plane of its own
def test_objects_are_served_and_their_keys_lie_nowhere(store: FakeStore, tmp_path: Path, binaries: Binaries) -> None:
    folder, keys = tmp_path / "plane", {"name": "store-keys"}
    values = ("--set", f"sources.urlHosts={{http://{store.web.host}}}", "--set", "logLevel=DEBUG")
    with (
        embedded_installation(folder, binaries, *values) as installed,
        scratch_namespace(installed, "e2e-store") as cluster,
    ):
        let_read(cluster, "store-keys")
        literals = (f"--from-literal=AWS_ACCESS_KEY_ID={s3.KEY_ID}", f"--from-literal=AWS_SECRET_ACCESS_KEY={CANARY}")
        cluster.run("create", "secret", "generic", "store-keys", *literals)
        cluster.apply(
            pool(cluster.namespace, store),
            from_store(store, "mine", cluster.namespace, credentialsSecretRef=keys),
            from_store(store, "pods", cluster.namespace),
            from_store(store, "stranger", cluster.namespace, "mine", anonymous=True),
            from_store(store, "none", cluster.namespace, credentialsSecretRef=keys),
        )
        cluster.wait_ready("lora", "mine")
        cluster.wait_ready("lora", "pods")
        cluster.wait_reason("lora", "stranger", "SourceForbidden")
        cluster.wait_reason("lora", "none", "SourceNotFound")
        for name in ("mine", "pods"):
            assert generate(cluster, name).adapters[0]["sha256"] == files.sha256(MINE)
        assert cluster.get("lora", "mine")["status"]["resolved"]["revision"] == etag_of(MINE)

        kinds = ("lora", "bmp", "pods", "events", "cm", "deploy")
        said = {kind: cluster.run("get", kind, "-o", "yaml") for kind in kinds}
        said |= {"pods": logs(installed, cluster.namespace), "lorapool": logs(installed, "lorapool-system")}
        kept = [file for file in (folder / "pods").rglob("*") if file.is_file()]
        assert any(file.name == files.sha256(MINE) for file in kept)
        for secret in (CANARY, "X-Amz-Signature"):
            assert [name for name, text in said.items() if secret in text] == []
            assert [file for file in kept if secret.encode() in file.read_bytes()] == []
