"""NetworkPolicies of pools go where an installation does not want them any more."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Resource
from lorapool_operator.cluster.dropped_policies import drop_policies

OURS = {"controller": True, "kind": "BaseModelPool"}


class FakePolicies:
    """Policies by namespace; `refuses` is what the API server says to every deletion."""

    def __init__(self, refuses: ApiError | None = None, **owners: dict[str, Any]) -> None:
        self.refuses = refuses
        self.left = {
            name: {"metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}", "ownerReferences": [owner]}}
            for name, owner in owners.items()
        }
        self.asked: list[tuple[str | None, str | None]] = []

    async def list(
        self, resource: Resource, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]:
        self.asked.append((namespace, labels))
        return list(self.left.values())

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, options: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        if self.refuses is not None:
            raise self.refuses
        assert options == {"preconditions": {"uid": f"uid-{name}"}}
        return self.left.pop(name)


async def test_those_of_pools_go_and_no_other() -> None:
    kube = FakePolicies(mine=OURS, theirs={"controller": True, "kind": "Deployment"}, copied={"kind": "BaseModelPool"})
    await drop_policies(kube, ("one", "two"))
    assert set(kube.left) == {"theirs", "copied"}
    labels = "lorapool.dev/pool,app.kubernetes.io/managed-by=lorapool-operator"
    assert kube.asked == [("one", labels), ("two", labels)]


@pytest.mark.parametrize(("status", "tells"), [(403, True), (404, False)])
async def test_what_cannot_be_deleted_is_told_and_holds_up_nothing(status: int, tells: bool) -> None:
    kube = FakePolicies(ApiError(status, "no", "no"), mine=OURS)
    with capture_logs() as logs:
        await drop_policies(kube, ())
    assert bool(logs) is tells
    assert kube.asked[0][0] is None
