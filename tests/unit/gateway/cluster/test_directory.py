"""What the gateway keeps of what the API server tells: pods of a pool, objects of other versions, names."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests import make
from tests.unit.gateway.fakes import FakePod, World, read, with_ready

from lorapool_api.kinds.status.names import HeldName, KeptName
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_gateway.cluster.directory import Directory, ObjectKind
from lorapool_gateway.cluster.names import name_all
from lorapool_gateway.cluster.snapshot import Snapshot, read_pod
from lorapool_gateway.routing.request import ResolvedRequest

PIXEL = ResolvedRequest("default/shapes", GenerateRequest(prompt="a cat", adapters=(AdapterUse(key="default/pixel"),)))
UNREADABLE = {"spec": {"source": 5}}


def changed(manifest: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return manifest | {"metadata": manifest["metadata"] | metadata}


def test_a_pod_takes_requests_only_while_it_runs_and_stays() -> None:
    manifest = FakePod("10.0.0.7").manifest
    found = read_pod(manifest)
    assert found is not None
    assert (found.url, found.pool) == ("http://10.0.0.7:8080", "default/shapes")
    assert read_pod(manifest | {"status": {"phase": "Pending", "podIP": "10.0.0.7"}}) is None
    assert read_pod(manifest | {"status": {"phase": "Running"}}) is None
    assert read_pod(changed(manifest, deletionTimestamp="2026-01-01T00:00:00Z")) is None


def test_requests_go_to_the_port_that_the_project_serves_whatever_a_manifest_names() -> None:
    ports = [{"name": "serving", "containerPort": 9000}]
    found = read_pod(FakePod("10.0.0.7").manifest | {"spec": {"containers": [{"name": "runtime", "ports": ports}]}})
    assert found is not None
    assert found.port == 8080


def owner(**fields: Any) -> dict[str, Any]:
    plain = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shapes-runtime-59d8", "uid": "r"}
    return plain | {"controller": True} | fields


@pytest.mark.parametrize(
    "owners",
    [
        None,
        [],
        [owner(controller=False)],
        [owner(kind="Job")],
        [owner(apiVersion="example.org/v1")],
        [owner(name="other-runtime-59d8")],
        [owner(name="shapes-runtime-0000")],
        [owner(name="shapes-runtime")],
    ],
)
def test_a_label_alone_makes_no_pod_of_a_pool(owners: list[dict[str, Any]] | None) -> None:
    manifest = FakePod("10.0.0.7").manifest
    assert read_pod(changed(manifest, ownerReferences=[owner()])) is not None
    assert read_pod(changed(manifest, ownerReferences=owners)) is None


@pytest.mark.parametrize("address", ["", "example.org", "10.0.0.7/path", "0.0.0.0", "224.0.0.1", 7, None])  # noqa: S104
def test_what_is_no_address_is_not_asked(address: object) -> None:
    status = {"phase": "Running", "podIP": address}
    assert read_pod(FakePod("10.0.0.7").manifest | {"status": status}) is None


async def test_an_object_of_a_newer_version_keeps_being_served() -> None:
    world = World()
    world.pool()
    pixel = read(world.adapter())
    world.pod()
    world.directory.put(ObjectKind.ADAPTER, pixel | UNREADABLE)
    world.directory.replace(ObjectKind.ADAPTER, None, [pixel | UNREADABLE])
    served = await world.proxy.generate(PIXEL)
    assert served.reply.adapters[0].key == "default/pixel"


def test_an_object_that_cannot_be_read_is_told_once_and_again_after_it_could() -> None:
    directory, pixel = Directory(), read(make.adapter())
    with capture_logs() as logs:
        for manifest in (pixel | UNREADABLE, pixel | UNREADABLE, pixel, pixel | UNREADABLE):
            directory.put(ObjectKind.ADAPTER, manifest)
    assert [entry["event"] for entry in logs] == ["an object cannot be read"] * 2


def test_one_that_was_made_anew_is_not_taken_for_the_old_one() -> None:
    directory, pixel = Directory(), read(make.adapter())
    directory.put(ObjectKind.ADAPTER, pixel)
    directory.put(ObjectKind.ADAPTER, changed(pixel, uid="another") | UNREADABLE)
    assert not directory.snapshot().adapters


def test_a_deleted_object_goes_although_it_could_not_be_read_any_more() -> None:
    directory, pixel = Directory(), read(make.adapter())
    directory.put(ObjectKind.ADAPTER, pixel)
    directory.put(ObjectKind.ADAPTER, pixel | UNREADABLE)
    directory.drop(ObjectKind.ADAPTER, pixel | UNREADABLE)
    assert not directory.snapshot().adapters


def test_a_status_that_changes_leaves_the_names_as_they_are() -> None:
    directory = Directory()
    directory.put(ObjectKind.POOL, read(make.pool()))
    directory.put(ObjectKind.ADAPTER, read(make.adapter()))
    names, before = directory.snapshot().names, directory.snapshot()
    directory.put(ObjectKind.ADAPTER, read(with_ready(make.adapter())))
    directory.put(ObjectKind.POD, FakePod("p").manifest)
    assert directory.snapshot() is not before
    assert directory.snapshot().names is names


def test_what_changes_nothing_wakes_nobody() -> None:
    directory = Directory()
    directory.put(ObjectKind.ADAPTER, read(make.adapter()))
    seen = directory.changes.version
    directory.put(ObjectKind.ADAPTER, read(make.adapter()))
    assert directory.changes.version == seen


Change = Callable[[Directory, random.Random], None]


def put_an_adapter(directory: Directory, chance: random.Random) -> None:
    ids = chance.sample(["x", "y", "a1", "default/a2", "team/a3", "one", "shapes"], chance.randrange(3))
    made = make.adapter(
        f"a{chance.randrange(5)}",
        chance.choice(["default", "team"]),
        age_s=chance.randrange(4),
        modelIds=ids,
        poolRef={"name": chance.choice(["one", "two", "none"]), "namespace": "default"},
    )
    served = with_ready(made)
    has = [HeldName(name=name, since=make.EPOCH) for name in chance.sample([*ids, made.metadata.name], 1)]
    holding = served.status.model_copy(update={"names": tuple(has), "pool_name": made.pool_key})
    holder = served.model_copy(update={"status": holding})
    directory.put(ObjectKind.ADAPTER, read(chance.choice([made, served, holder])))


def drop_an_adapter(directory: Directory, chance: random.Random) -> None:
    directory.drop(
        ObjectKind.ADAPTER, read(make.adapter(f"a{chance.randrange(5)}", chance.choice(["default", "team"])))
    )


def put_a_pool(directory: Directory, chance: random.Random) -> None:
    namespaces = {"namespaces": {"from": chance.choice(["All", "Same"])}}
    pool = make.pool(chance.choice(["one", "two"]), adapters=namespaces)
    row = KeptName(name=chance.choice(["x", "a1"]), namespace=chance.choice(["default", "team"]), until=make.EPOCH)
    status = pool.status.model_copy(update={"kept_names": tuple(chance.sample([row], chance.randrange(2)))})
    directory.put(ObjectKind.POOL, read(pool.model_copy(update={"status": status})))


def drop_a_pool(directory: Directory, chance: random.Random) -> None:
    directory.drop(ObjectKind.POOL, read(make.pool(chance.choice(["one", "two"]))))


def ask_for_names(directory: Directory, chance: random.Random) -> None:
    directory.snapshot().names.get("x")


CHANGES: tuple[Change, ...] = (put_an_adapter, put_an_adapter, drop_an_adapter, put_a_pool, drop_a_pool, ask_for_names)


@pytest.mark.parametrize("seed", range(40))
def test_names_kept_in_step_are_those_that_would_be_made_anew(seed: int) -> None:
    directory, chance = Directory(), random.Random(seed)  # noqa: S311 -- no secret
    for _ in range(60):
        chance.choice(CHANGES)(directory, chance)
        if chance.random() < 0.5:
            known = directory.snapshot()
            assert known.all_names == name_all(known.pools, known.adapters)


def test_the_pods_of_a_pool_are_found_without_looking_at_the_others() -> None:
    directory = Directory()
    for name, pool in (("a", "default/shapes"), ("b", "default/shapes"), ("c", "team/other")):
        directory.put(ObjectKind.POD, FakePod(name, pool=pool).manifest)
    known = directory.snapshot()
    assert [pod.name for pod in known.pods_of("default/shapes")] == ["a", "b"]
    assert known.pods_of("team/nothing") == ()
    assert Snapshot(pods=known.pods).pods_of("team/other") == known.pods_of("team/other")
    directory.drop(ObjectKind.POD, FakePod("a").manifest)
    assert [pod.name for pod in directory.snapshot().pods_of("default/shapes")] == ["b"]
