"""What the chart gives to a Prometheus and a Grafana, where somebody wants it."""

import json
from typing import Any

import yaml
from tests.unit.chart.helm import CHART, Manifest, container, kinds, one, render

MONITORING: dict[str, Any] = {
    "monitoring__podMonitors__enabled": True,
    "monitoring__podMonitors__labels": {"release": "prometheus"},
    "monitoring__rules__enabled": True,
    "monitoring__rules__labels": {"release": "prometheus"},
    "monitoring__dashboard__enabled": True,
}


def test_by_default_nothing_asks_for_kinds_that_a_cluster_may_lack() -> None:
    objects = render()
    assert not [o for o in objects if o["apiVersion"].startswith("monitoring.coreos.com")]
    assert not [o for o in kinds(objects, "ConfigMap") if o["metadata"]["name"].endswith("dashboard")]


def test_each_part_is_scraped_at_a_port_that_its_pods_have() -> None:
    objects = render(**MONITORING)
    for part in ("operator", "gateway"):
        monitor = one(objects, "PodMonitor", f"lorapool-{part}")
        workload = one(objects, "Deployment", f"lorapool-{part}")
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in container(workload)["ports"]}


def runtime_monitor(**values: Any) -> Manifest:
    return one(render(**MONITORING, **values), "PodMonitor", "lorapool-runtime")


def test_pods_of_pools_are_scraped_where_they_are_and_say_their_pool_as_the_operator_does() -> None:
    assert runtime_monitor()["spec"]["namespaceSelector"] == {"any": True}
    monitor = runtime_monitor(watchNamespaces=["one"])
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["one"]}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "serving"
    (relabeling,) = endpoint["relabelings"]
    assert relabeling["targetLabel"] == "pool"


def test_the_rules_are_those_of_the_file() -> None:
    rule = one(render(**MONITORING), "PrometheusRule", "lorapool")
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())


def test_grafana_finds_the_dashboard() -> None:
    found = one(render(**MONITORING), "ConfigMap", "lorapool-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["lorapool.json"])["uid"] == "lorapool"
