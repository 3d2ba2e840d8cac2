"""Who may reach which port, where the chart is asked to say so."""

from tests.unit.chart.helm import NAMESPACE, kinds, one, render


def test_only_the_gateway_reaches_the_serving_port_and_only_operator_and_pools_the_control_port() -> None:
    objects = render(networkPolicy__enabled=True, networkPolicy__runtimeNamespaces=["team"])
    policy = one(objects, "NetworkPolicy", "lorapool-runtime")
    assert policy["metadata"]["namespace"] == "team"
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    for port, part in (("serving", "gateway"), ("control", "operator")):
        peer = by_port[port][0]
        labels = one(objects, "Deployment", f"lorapool-{part}")["spec"]["template"]["metadata"]["labels"]
        assert peer["podSelector"]["matchLabels"].items() <= labels.items()
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": NAMESPACE}
    assert len(by_port["serving"]) == 1
    assert by_port["control"][1:] == [{"podSelector": policy["spec"]["podSelector"]}]


def test_without_the_value_there_are_none() -> None:
    assert not kinds(render(), "NetworkPolicy")
