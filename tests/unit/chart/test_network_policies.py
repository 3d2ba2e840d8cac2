"""Who may reach which port: by the chart's policies, and by those that the operator makes for pools."""

import kubernetes_validate
from tests.unit.chart.helm import NAMESPACE, environment, kinds, one, render, rules
from tests.unit.operator import make as op

from lorapool_operator.manifests.network import network_policy
from lorapool_operator.settings import NetworkPeers

PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_only_the_gateway_reaches_the_serving_port_and_only_operator_and_pool_the_control_port() -> None:
    objects = render()
    policy = network_policy(op.pool(), NetworkPeers.model_validate_json(peers_json(objects)))
    kubernetes_validate.validate(policy, "1.34", strict=True)
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    for port, part in ((8080, "gateway"), (8081, "operator")):
        peer = by_port[port][0]
        labels = one(objects, "Deployment", f"lorapool-{part}")["spec"]["template"]["metadata"]["labels"]
        assert peer["podSelector"]["matchLabels"].items() <= labels.items()
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": NAMESPACE}
    assert len(by_port[8080]) == 1
    assert by_port[8081][1:] == [{"podSelector": policy["spec"]["podSelector"]}]


def test_metrics_are_read_by_whom_the_values_name() -> None:
    objects = render(networkPolicy__metricsFrom=[PROMETHEUS])
    assert NetworkPeers.model_validate_json(peers_json(objects)).metrics == (PROMETHEUS,)
    for part in ("gateway", "operator"):
        (health,) = (
            rule
            for rule in one(objects, "NetworkPolicy", f"lorapool-{part}")["spec"]["ingress"]
            if rule["ports"][0]["port"] == "health"
        )
        assert PROMETHEUS in health["from"]


def test_without_them_nothing_is_closed_and_the_operator_may_take_away_what_it_made() -> None:
    def may(objects: list[dict[str, object]]) -> set[str]:
        given = rules(one(objects, "ClusterRole", "lorapool-operator"))
        return {verb for _, resource, verb in given if resource == "networkpolicies"}

    off = render(networkPolicy__enabled=False)
    assert not kinds(off, "NetworkPolicy")
    assert "LORAPOOL_NETWORK_PEERS" not in environment(one(off, "Deployment", "lorapool-operator"))
    assert (may(render()), may(off)) == ({"list", "watch", "create", "patch"}, {"list", "watch", "delete"})


def peers_json(objects: list[dict[str, object]]) -> str:
    return environment(one(objects, "Deployment", "lorapool-operator"))["LORAPOOL_NETWORK_PEERS"]
