"""Values that turn on whatever the chart has."""

from typing import Any

EVERYTHING: dict[str, Any] = {
    "gateway__autoscaling": {"enabled": True, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}},
    "gateway__tls": {"secretName": "gateway-tls"},
    "gateway__ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "34m"},
        "hosts": ["images.example.org", "*.images.example.org"],
        "tls": [{"hosts": ["images.example.org"], "secretName": "images-tls"}],
    },
    "gateway__httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["images.example.org"],
    },
    "gateway__apiKeysSecret": "keys",
    "gateway__contentCredentials": {"secretName": "pictures"},
    "gateway__nodeSelector": {"disk": "ssd"},
    "gateway__tolerations": [{"key": "gpu", "operator": "Exists"}],
    "gateway__podLabels": {"team": "images"},
    "gateway__extraEnv": [{"name": "X", "value": "1"}],
    "operator__priorityClassName": "system-cluster-critical",
    "runtime__priorityClassName": "gpu-serving",
    "runtime__pullSecrets": ["registry", "mirror"],
    "operator__podAnnotations": {"a": "b"},
    "image__pullSecrets": ["registry"],
    "watchNamespaces": ["one", "two"],
    "hub__endpoint": "http://hub.test",
    "civitai__endpoint": "http://civitai.test",
    "sources__urlHosts": ["files.test", "*.example.org", "http://10.0.0.1:8080"],
    "secretReaders": [{"namespace": "one", "names": ["hub-token", "url-token"]}, {"namespace": "two", "names": ["t"]}],
    "networkPolicy__enabled": True,
    "networkPolicy__metricsFrom": [{"podSelector": {}}],
}
