"""How many gateways share the requests, from EndpointSlices."""

from collections.abc import Mapping
from typing import Any

from lorapool_gateway.cluster.gateways import ReadyGateways, slices_of


def manifest(uid: str, **ready: bool | None) -> Mapping[str, Any]:
    endpoints = [
        {"targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": is_}} for name, is_ in ready.items()
    ]
    return {"metadata": {"uid": uid}, "endpoints": endpoints}


def test_one_that_knows_of_no_other_is_alone() -> None:
    gateways = ReadyGateways()
    assert gateways.count == 1
    gateways.replace([])
    gateways.put({"metadata": {"uid": "empty"}, "endpoints": None})
    assert gateways.count == 1


def test_ready_pods_count_once_whatever_addresses_they_have() -> None:
    gateways = ReadyGateways()
    gateways.replace([manifest("v4", a=True, b=None, c=False), manifest("v6", a=True, b=True)])
    assert gateways.count == 2
    gateways.put(manifest("v6", a=True, b=True, d=True))
    assert gateways.count == 3
    gateways.drop(manifest("v6"))
    assert gateways.count == 2


def test_what_stands_behind_the_service_by_hand_is_no_gateway() -> None:
    gateways = ReadyGateways()
    gateways.put(
        {"metadata": {"uid": "x"}, "endpoints": [{"addresses": ["10.0.0.1"]}, {"targetRef": {"kind": "Node"}}]}
    )
    assert gateways.count == 1


def test_only_slices_of_the_service_are_watched() -> None:
    selection = slices_of("lorapool-system", "lorapool-gateway")
    assert selection.path == "/apis/discovery.k8s.io/v1/namespaces/lorapool-system/endpointslices"
    assert selection.query == {"labelSelector": "kubernetes.io/service-name=lorapool-gateway"}
