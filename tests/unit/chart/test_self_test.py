"""What `helm test` runs, and what it may."""

import json
from inspect import signature

from tests.unit.chart.helm import NAMESPACE, Manifest, container, kinds, one, pod, render

from lorapool_gateway.self_test.command import command

NAME = "lorapool-self-test"


def arguments(objects: list[Manifest]) -> dict[str, str]:
    first, *options = container(one(objects, "Pod", NAME))["args"]
    assert first == "self-test"
    return dict(option.removeprefix("--").partition("=")[::2] for option in options)


def test_it_is_there_only_while_helm_test_runs() -> None:
    found = [o for o in render() if o["metadata"]["name"] == NAME]
    assert {o["kind"] for o in found} == {"Pod", "ServiceAccount", "Role", "RoleBinding"}
    for each in found:
        hook = each["metadata"]["annotations"]
        assert hook["helm.sh/hook"] == "test"
        assert "hook-succeeded" in hook["helm.sh/hook-delete-policy"]
        assert (int(hook["helm.sh/hook-weight"]) < 0) == (each["kind"] != "Pod")


def test_it_is_told_where_the_operator_may_and_what_the_gateway_wants() -> None:
    plain = arguments(render())
    assert (plain["namespace"], plain["service"]) == (NAMESPACE, "lorapool-gateway")
    assert not {"tls", "api-keys"} & plain.keys()
    objects = render(
        watchNamespaces=["one", "two"],
        gateway__apiKeysSecret="keys",
        gateway__tls={"secretName": "cert"},
        operator__tolerations=[{"key": "it's", "operator": "Exists"}],
    )
    told = arguments(objects)
    assert told["namespace"] == one(objects, "Role", NAME)["metadata"]["namespace"] == "one"
    assert json.loads(told["placement"])["tolerations"] == [{"key": "it's", "operator": "Exists"}]
    assert "tls" in told
    assert told["api-keys"] in {mount["mountPath"] for mount in container(one(objects, "Pod", NAME))["volumeMounts"]}


def test_the_command_knows_what_it_is_told() -> None:
    told = arguments(render(gateway__apiKeysSecret="keys", gateway__tls={"secretName": "cert"}))
    assert {name.replace("-", "_") for name in told} <= signature(command).parameters.keys()


def test_it_may_write_nothing_but_what_it_makes() -> None:
    (role,) = [r for r in kinds(render(), "Role") if r["metadata"]["name"] == NAME]
    rules = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert {resource for resource, _ in rules} == {"basemodelpools", "loraadapters", "configmaps"}
    assert ("configmaps", "get") not in rules


def test_it_needs_no_room_of_its_own_among_the_operators() -> None:
    assert "topologySpreadConstraints" not in pod(one(render(), "Pod", NAME))
