"""The objects of a pool: applied, put back, and never taken from others."""

from typing import Any

import pytest
from tests.unit.operator import make as op
from tests.unit.operator.context import owner

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Resource
from lorapool_operator.cluster.objects import PUT_BACK_AT_MOST, Objects
from lorapool_operator.manifests.disruption import disruption_budget
from lorapool_operator.manifests.network import network_policy
from lorapool_operator.manifests.service import service
from lorapool_operator.metrics import Metrics
from lorapool_operator.seen.parse import standing_of
from lorapool_operator.seen.views import Standing
from lorapool_operator.settings import NetworkPeers

Manifest = dict[str, Any]
POOL = op.pool()
UID = POOL.metadata.uid
SERVICE, POLICY = service(POOL), network_policy(POOL, NetworkPeers(gateways=(), operators=()))
NAME = "Service/shapes-runtime"


class Server:
    """An API server that keeps objects by kind and name, each with a version that grows."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.applied: list[str] = []
        self.looked: list[str] = []
        self._number = 0

    def put(self, kind: str, name: str, *owners: Manifest) -> None:
        """As somebody else does."""
        self._number += 1
        labels = SERVICE["metadata"]["labels"]
        meta = {"name": name, "uid": f"uid-{self._number}", "resourceVersion": str(self._number), "labels": labels}
        self.objects[f"{kind}/{name}"] = {"metadata": meta | {"ownerReferences": list(owners)}}

    def edit(self, name: str) -> None:
        self._number += 1
        self.objects[name]["metadata"]["resourceVersion"] = str(self._number)

    async def apply(self, manifest: Manifest) -> Manifest:
        meta = manifest["metadata"]
        name = f"{manifest['kind']}/{meta['name']}"
        there = self.objects.get(name)
        if "uid" in meta and (there is None or there["metadata"]["uid"] != meta["uid"]):
            raise ApiError(409, "Conflict", "uid mismatch")
        self.applied.append(name)
        if there is None:
            self.put(manifest["kind"], meta["name"])
            there = self.objects[name]
        there["metadata"] |= {"ownerReferences": meta["ownerReferences"]}
        return manifest | {"metadata": dict(there["metadata"])}

    async def look(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        self.looked.append(f"{resource.kind}/{name}")
        found = self.objects.get(f"{resource.kind}/{name}")
        return None if found is None else dict(found["metadata"])

    def watched(self) -> dict[str, Standing]:
        """What the watches tell of."""
        return {name: standing_of(found["metadata"]) for name, found in self.objects.items()}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def objects(server: Server) -> Objects:
    return Objects(server, Metrics(), lambda _: None)


async def test_what_is_as_it_was_applied_is_left_alone(server: Server, objects: Objects) -> None:
    for _ in range(3):
        await objects.apply((POLICY, SERVICE), UID, server.watched())
        objects.refresh()
    assert server.applied == ["NetworkPolicy/shapes-runtime", NAME]
    assert server.looked == server.applied, "what is watched needs no second look"


async def test_what_somebody_edits_or_deletes_is_put_back(server: Server, objects: Objects) -> None:
    await objects.apply((SERVICE,), UID, server.watched())
    server.edit(NAME)
    await objects.apply((SERVICE,), UID, server.watched())
    assert server.applied == [NAME] * 2
    await objects.apply((SERVICE,), UID, server.watched())
    assert server.applied == [NAME] * 2, "it is as it was applied last"
    del server.objects[NAME]
    await objects.apply((SERVICE,), UID, server.watched())
    assert server.applied == [NAME] * 3


async def test_a_label_that_was_taken_away_hides_the_object_and_it_is_put_back(
    server: Server, objects: Objects
) -> None:
    await objects.apply((SERVICE,), UID, server.watched())
    await objects.apply((SERVICE,), UID, {})
    assert server.applied == [NAME] * 2
    assert len(server.objects) == 1


async def test_a_label_that_was_changed_is_put_back(server: Server, objects: Objects) -> None:
    """The generation of an object, where it has one, does not tell of it."""
    await objects.apply((SERVICE,), UID, server.watched())
    labels = SERVICE["metadata"]["labels"]
    server.objects[NAME]["metadata"]["labels"] = labels | {"app.kubernetes.io/managed-by": "me", "team": "a"}
    await objects.apply((SERVICE,), UID, server.watched())
    assert server.applied == [NAME] * 2
    server.objects[NAME]["metadata"]["labels"] = labels | {"team": "a"}
    await objects.apply((SERVICE,), UID, server.watched())
    assert server.applied == [NAME] * 2, "a label of others is theirs"


async def test_an_owner_that_was_taken_away_is_put_back(server: Server, objects: Objects) -> None:
    await objects.apply((SERVICE,), UID, server.watched())
    server.objects[NAME]["metadata"]["ownerReferences"] = []
    await objects.apply((SERVICE,), UID, server.watched())
    assert server.objects[NAME]["metadata"]["ownerReferences"] == SERVICE["metadata"]["ownerReferences"]


@pytest.mark.parametrize("manifest", [SERVICE, POLICY, disruption_budget(POOL)], ids=lambda m: str(m["kind"]))
@pytest.mark.parametrize("owners", [(), (owner("another pool"),)], ids=["nobody's", "another's"])
@pytest.mark.parametrize("is_seen", [True, False])
async def test_what_is_not_the_pools_is_never_written_to(
    server: Server, objects: Objects, manifest: Manifest, owners: Any, is_seen: bool
) -> None:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    server.put(kind, name, *owners)
    for _ in range(2):
        with pytest.raises(ApiError) as refused:
            await objects.apply((manifest,), UID, server.watched() if is_seen else {})
        assert refused.value.is_taken
        assert f"{kind} {name}" in refused.value.message
    assert server.applied == []

    del server.objects[f"{kind}/{name}"]
    await objects.apply((manifest,), UID, server.watched())
    assert server.applied == [f"{kind}/{name}"]


@pytest.mark.parametrize("manifest", [SERVICE, POLICY], ids=lambda m: str(m["kind"]))
async def test_what_took_the_place_of_the_pools_object_is_not_written_to(
    server: Server, objects: Objects, manifest: Manifest
) -> None:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    await objects.apply((manifest,), UID, server.watched())
    server.put(kind, name)
    objects.refresh()
    for _ in range(2 * PUT_BACK_AT_MOST):
        with pytest.raises(ApiError) as refused:
            await objects.apply((manifest,), UID, server.watched())
    assert refused.value.is_taken
    assert server.applied == [f"{kind}/{name}"]


async def test_after_a_restart_what_is_the_pools_is_applied_again(server: Server, objects: Objects) -> None:
    await objects.apply((POLICY, SERVICE), UID, server.watched())
    again = Objects(server, Metrics(), lambda _: None)
    await again.apply((POLICY, SERVICE), UID, server.watched())
    assert server.applied == ["NetworkPolicy/shapes-runtime", NAME] * 2


async def test_what_somebody_changes_without_end_is_put_back_now_and_then(server: Server, objects: Objects) -> None:
    for _ in range(100):
        await objects.apply((SERVICE,), UID, server.watched())
        server.edit(NAME)
    assert len(server.applied) == 1 + PUT_BACK_AT_MOST
    objects.refresh()
    await objects.apply((SERVICE,), UID, server.watched())
    assert len(server.applied) == 2 + PUT_BACK_AT_MOST
