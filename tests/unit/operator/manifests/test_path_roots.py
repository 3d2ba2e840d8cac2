"""Where path sources may lie."""

from typing import Any

import pytest
from tests.unit.operator import make as op

from lorapool_operator.manifests.path_roots import PathRoots, path_roots

Volumes = dict[str, dict[str, Any]]


def with_paths(mounts: dict[str, str], volumes: Volumes, named: list[str]) -> PathRoots:
    """Of a pool that mounts those volumes (name -> folder) and names these for paths."""
    spec = {
        "containers": [
            {"name": "runtime", "volumeMounts": [{"name": n, "mountPath": p} for n, p in mounts.items()]},
            {"name": "sidecar", "volumeMounts": [{"name": "files", "mountPath": "/of-sidecar"}]},
        ],
        "volumes": [{"name": name, **volume} for name, volume in volumes.items()],
    }
    return path_roots(op.pool(template={"spec": spec}, adapters={"pathVolumes": named}).spec)


def test_only_volumes_that_the_pool_names_are_roots_for_paths() -> None:
    mounts = {"files": "/a", "others": "/b"}
    volumes: Volumes = {"files": {"emptyDir": {}}, "others": {"emptyDir": {}}}
    assert with_paths(mounts, volumes, ["files"]) == PathRoots(("/a",))
    assert with_paths(mounts, volumes, []) == PathRoots()
    assert with_paths(mounts, volumes, ["control", "nobody"]) == PathRoots()
    assert path_roots(op.pool(template={}).spec) == PathRoots()
    assert (
        path_roots(op.pool(template={"spec": {"containers": [{"name": "runtime", "volumeMounts": 3}]}}).spec)
        == PathRoots()
    )


@pytest.mark.parametrize(
    "volume",
    [
        {"secret": {"secretName": "x"}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"downwardAPI": {"items": []}},
        {"csi": {"driver": "secrets-store.csi.k8s.io"}},
    ],
    ids=lambda volume: next(iter(volume)),
)
def test_no_volume_of_credentials_is_a_root_for_paths(volume: dict[str, Any]) -> None:
    assert with_paths({"files": "/a"}, {"files": volume}, ["files"]) == PathRoots()


def test_an_image_that_is_a_volume_is_a_root_for_paths() -> None:
    image: Volumes = {"loras": {"image": {"reference": "ghcr.io/acme/loras-image:1", "pullPolicy": "IfNotPresent"}}}
    found = with_paths({"loras": "/adapters"}, image, ["loras"])
    assert found == PathRoots(("/adapters",))
    assert found.allow("/adapters/pixel-art-xl.safetensors")


def test_what_is_mounted_below_a_root_is_hidden() -> None:
    mounts = {"files": "/a", "keys": "/a/keys/", "more": "/a/keys/more", "apart": "/ab"}
    volumes: Volumes = {"files": {"emptyDir": {}}, "keys": {"secret": {"secretName": "x"}}, "more": {"emptyDir": {}}}
    found = with_paths(mounts, volumes, ["files", "keys", "more"])
    assert found == PathRoots(("/a", "/a/keys/more"), ("/a/keys",))
    assert [found.allow(p) for p in ("/a/x", "/a/keys/more/x", "/a/keys/x", "/a/keys", "/ab/x", "/a")] == [
        *(True, True, False, True, False, False)
    ]
    assert with_paths({"files": "/var"}, {"files": {"emptyDir": {}}}, ["files"]).hidden == ("/var/cache/lorapool",)
