"""Environment and arguments of a container."""

import base64
from typing import Any

import pytest

from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.environment import ConfigError, Placement, command_line, environment, expand
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.spec.service_links import service_variables

PLACEMENT = Placement("127.1.1.1", "127.1.0.1", "node", {"cpu": "4", "memory": "1Gi"})
SECRET = {"data": {"token": base64.b64encode(b"s3cret").decode()}}
CONFIG = {"data": {"A": "1", "B": "2"}}
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {("Secret", "keys"): SECRET, ("ConfigMap", "settings"): CONFIG}


def environment_of(**fields: Any) -> dict[str, str]:
    container = Container.model_validate({"name": "main", **fields})
    metadata = {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x", "b": 'say "hi"'}}
    pod = Pod.model_validate({"metadata": metadata, "spec": {"containers": [container]}})
    return environment(container, pod, PLACEMENT, lambda *which: OBJECTS.get(which), {"PATH": "/bin"})


def value_of(source: dict[str, Any], **fields: Any) -> str:
    return environment_of(env=[{"name": "X", "valueFrom": source}], **fields)["X"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)$(A)y", "x11y"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$", "$"),
        ("$A ${A} $(A", "$A ${A} $(A"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_a_variable_may_refer_to_earlier_ones_only() -> None:
    env = [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)"}]

    found = environment_of(env=env)

    assert (found["B"], found["C"]) == ("$(A)", "1")


def test_own_variables_win_over_imported_ones() -> None:
    imported = [{"configMapRef": {"name": "settings"}}, {"prefix": "P_", "configMapRef": {"name": "settings"}}]

    found = environment_of(env=[{"name": "A", "value": "own"}], envFrom=imported)

    assert (found["A"], found["B"], found["P_A"], found["PATH"]) == ("own", "2", "1", "/bin")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.uid", "u"),
        ("metadata.labels['app']", "x"),
        ("metadata.annotations['none']", ""),
        ("metadata.labels", 'app="x"\nb="say \\"hi\\""'),
        ("status.podIP", "127.1.1.1"),
        ("status.hostIP", "127.1.0.1"),
        ("spec.nodeName", "node"),
        ("spec.serviceAccountName", "default"),
    ],
)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    assert value_of({"fieldRef": {"fieldPath": path}}) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.memory"}, "1073741824"),
    ],
)
def test_resources_are_rounded_up_and_default_to_the_node(reference: dict[str, str], expected: str) -> None:
    resources = {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}}

    assert value_of({"resourceFieldRef": reference}, resources=resources) == expected


def test_a_key_of_a_secret() -> None:
    assert value_of({"secretKeyRef": {"name": "keys", "key": "token"}}) == "s3cret"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "none", "key": "token"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "C"}}, "couldn't find key C in ConfigMap settings"),
        ({"fieldRef": {"fieldPath": "spec.priority"}}, "unsupported fieldPath: spec.priority"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        value_of(source)


def test_what_is_optional_may_be_missing() -> None:
    env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}}]

    assert "X" not in environment_of(env=env, envFrom=[{"secretRef": {"name": "none", "optional": True}}])


def test_a_command_replaces_the_image_and_arguments_follow_either() -> None:
    plain = Container.model_validate({"name": "m", "args": ["--at", "$(A)"]})
    replaced = Container.model_validate({"name": "m", "command": ["run-$(A)"], "args": ["x"]})

    assert command_line(plain, ["image"], {"A": "1"}) == ["image", "--at", "1"]
    assert command_line(replaced, ["image"], {"A": "1"}) == ["run-1", "x"]


def test_services_are_named_as_links() -> None:
    port = {"port": 80, "name": "http", "protocol": "TCP"}
    services = [
        {"metadata": {"name": "lorapool-gateway"}, "spec": {"clusterIP": "127.1.240.2", "ports": [port]}},
        {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [port]}},
    ]

    assert service_variables(services) == {
        "LORAPOOL_GATEWAY_SERVICE_HOST": "127.1.240.2",
        "LORAPOOL_GATEWAY_SERVICE_PORT": "80",
        "LORAPOOL_GATEWAY_SERVICE_PORT_HTTP": "80",
        "LORAPOOL_GATEWAY_PORT": "tcp://127.1.240.2:80",
        "LORAPOOL_GATEWAY_PORT_80_TCP": "tcp://127.1.240.2:80",
        "LORAPOOL_GATEWAY_PORT_80_TCP_PROTO": "tcp",
        "LORAPOOL_GATEWAY_PORT_80_TCP_PORT": "80",
        "LORAPOOL_GATEWAY_PORT_80_TCP_ADDR": "127.1.240.2",
    }
