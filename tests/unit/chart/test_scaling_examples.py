"""What the examples for autoscalers name is what the chart installs and the gateway answers."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from fastapi import FastAPI
from tests.unit.chart.helm import NAMESPACE, one, render
from tests.unit.gateway.fakes import World

from lorapool_api.names import API_VERSION, POOL_KIND
from lorapool_api.wire.gateways.demand import PoolDemand
from lorapool_gateway.http import demand

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / path).read_text())
    return found


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_autoscalers_scale_the_pool_and_not_its_deployment() -> None:
    for path in ("hpa/hpa.yaml", "keda/scaledobject.yaml"):
        target = example(path)["spec"]["scaleTargetRef"]
        assert target == {"apiVersion": API_VERSION, "kind": POOL_KIND, "name": "sdxl"}


def test_keda_asks_each_gateway_at_a_port_and_a_path_that_answer() -> None:
    (trigger,) = example("keda/scaledobject.yaml")["spec"]["triggers"]
    asked = urlsplit(trigger["metadata"]["url"])
    name, namespace = str(asked.hostname).split(".")
    service = one(render(), "Service", name)
    gateway = one(render(), "Deployment", "lorapool-gateway")
    ports = {port["name"]: port["containerPort"] for port in container(gateway)["ports"]}
    # KEDA looks for the pods' port among the Endpoints: the Service must lead to it.
    assert (namespace, asked.port) == (NAMESPACE, ports[service["spec"]["ports"][0]["targetPort"]])
    labels = gateway["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()

    app = FastAPI()
    app.include_router(demand.routes(World().demand))
    assert app.url_path_for("of_pool", namespace="default", name="sdxl") == asked.path
    assert trigger["metadata"]["valueLocation"] in PoolDemand.model_fields


def test_the_operator_asks_the_gateways_of_its_own_release() -> None:
    operator = one(render(), "Deployment", "lorapool-operator")
    values = {entry["name"]: entry.get("value") for entry in container(operator)["env"]}
    labels = one(render(), "Deployment", "lorapool-gateway")["spec"]["template"]["metadata"]["labels"]
    selector = dict(pair.split("=") for pair in str(values["LORAPOOL_GATEWAY_SELECTOR"]).split(","))
    assert selector.items() <= labels.items()


def test_prometheus_adapter_makes_the_metric_that_the_autoscaler_asks_for() -> None:
    (rule,) = example("hpa/prometheus-adapter.yaml")["rules"]["external"]
    (metric,) = example("hpa/hpa.yaml")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    world = World()
    world.pool()
    with world.metrics.demand("default/shapes"):
        assert rule["seriesQuery"].partition("{")[0] in world.metrics.text().decode()
