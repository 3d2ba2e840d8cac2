"""How requests reach the gateway: Service, TLS, Ingress, HTTPRoute."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our dependencies
import pytest
from tests.unit.chart.everything import EVERYTHING
from tests.unit.chart.helm import Manifest, container, environment, kinds, one, pod, refusal, render

GATEWAY = "lorapool-gateway"
# sigs.k8s.io/gateway-api v1.3.0, standard channel, without descriptions, CEL rules and status.
HTTP_ROUTE = json.loads((Path(__file__).parent / "httproute.schema.json").read_text())


def port(objects: list[Manifest]) -> Manifest:
    (found,) = one(objects, "Service", GATEWAY)["spec"]["ports"]
    return dict(found)


def test_by_default_there_is_a_service_alone_and_it_speaks_http() -> None:
    objects = render()
    assert port(objects) == {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
    assert not kinds(objects, "Ingress")
    assert not kinds(objects, "HTTPRoute")
    assert "LORAPOOL_TLS_DIR" not in environment(one(objects, "Deployment", GATEWAY))


def test_a_secret_makes_it_speak_tls() -> None:
    objects = render(gateway__tls={"secretName": "cert"}, gateway__service={"port": 443})
    assert (port(objects)["name"], port(objects)["port"], port(objects)["appProtocol"]) == ("https", 443, "https")
    gateway = one(objects, "Deployment", GATEWAY)
    folder = environment(gateway)["LORAPOOL_TLS_DIR"]
    assert {"name": "tls", "mountPath": folder, "readOnly": True} in container(gateway)["volumeMounts"]
    assert {"name": "tls", "secret": {"secretName": "cert", "defaultMode": 0o440}} in pod(gateway)["volumes"]
    probes = [container(gateway)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [(probe["port"], probe.get("scheme", "HTTP")) for probe in probes] == [("health", "HTTP")] * 3


def test_an_ingress_leads_each_host_to_the_service() -> None:
    objects = render(**EVERYTHING)
    spec = one(objects, "Ingress", GATEWAY)["spec"]
    backend = {"service": {"name": GATEWAY, "port": {"number": port(objects)["port"]}}}
    paths = {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    assert spec["rules"] == [{"host": h, "http": paths} for h in ("images.example.org", "*.images.example.org")]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"hosts": ["images.example.org"], "secretName": "images-tls"}]
    (anybody,) = one(render(gateway__ingress={"enabled": True}), "Ingress", GATEWAY)["spec"]["rules"]
    assert "host" not in anybody


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, with unknown fields refused, as the API server does with strict validation."""
    made = {key: closed(part) if isinstance(part, dict) else part for key, part in schema.items()}
    return made | {"additionalProperties": False} if isinstance(made.get("properties"), dict) else made


@pytest.mark.parametrize(
    "route",
    [
        EVERYTHING["gateway__httpRoute"],
        {"enabled": True, "parentRefs": [{"name": "public"}], "timeout": ""},
        {
            "enabled": True,
            "parentRefs": [{"name": "public"}],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-forwarded-user"]}}],
        },
    ],
    ids=["everything", "no timeout", "filters"],
)
def test_an_http_route_is_what_the_gateway_api_says(route: dict[str, Any]) -> None:
    found = one(render(gateway__httpRoute=route), "HTTPRoute", GATEWAY)
    jsonschema.validate(found["spec"], closed(HTTP_ROUTE))
    (rule,) = found["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": GATEWAY, "port": 80}]
    assert rule.get("timeouts") == (None if route.get("timeout") == "" else {"request": "330s"})


def test_a_route_that_joins_nothing_is_refused() -> None:
    assert "parentRefs must name a Gateway" in refusal(gateway__httpRoute={"enabled": True})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, {"LORAPOOL_KEEP_SECONDS": "600", "LORAPOOL_MAX_KEPT_BYTES": str(128 << 20)}),
        (
            {"keepSeconds": 60, "keptMebibytes": 32, "publicUrl": "https://images.example.org/lora"},
            {
                "LORAPOOL_KEEP_SECONDS": "60",
                "LORAPOOL_MAX_KEPT_BYTES": str(32 << 20),
                "LORAPOOL_PUBLIC_URL": "https://images.example.org/lora",
            },
        ),
        # As a release of an earlier chart has them, with --reuse-values.
        (dict.fromkeys(("keepSeconds", "keptMebibytes", "publicUrl")), {"LORAPOOL_MAX_KEPT_BYTES": str(128 << 20)}),
    ],
    ids=["by default", "said", "not known"],
)
def test_the_gateway_is_told_what_to_keep_and_by_which_address(values: dict[str, Any], told: dict[str, str]) -> None:
    given = {f"gateway__{name}": value for name, value in values.items()}
    env = environment(one(render(**given), "Deployment", GATEWAY))
    assert told.items() <= env.items()
    assert ("LORAPOOL_PUBLIC_URL" in env) == ("LORAPOOL_PUBLIC_URL" in told)


def test_a_public_address_that_is_none_is_refused() -> None:
    assert "publicUrl" in refusal(gateway__publicUrl="images.example.org")
