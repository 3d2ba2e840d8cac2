"""Which Secrets of users the chart lets operator and gateway read."""

from tests.unit.chart.helm import NAMESPACE, container, environment, kinds, one, refusal, render

GRANTS = [{"namespace": "one", "names": ["hub-token", "url-token"]}, {"namespace": "two", "names": ["t"]}]
NAME = "lorapool-operator-secrets"


def test_by_default_there_are_none() -> None:
    assert not [r for r in kinds(render(), "Role") if r["metadata"]["name"] == NAME]


def test_each_is_named_and_can_only_be_got() -> None:
    roles = [r for r in kinds(render(secretReaders=GRANTS), "Role") if r["metadata"]["name"] == NAME]
    given = {r["metadata"]["namespace"]: r["rules"] for r in roles}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert given == {
        "one": [rule | {"resourceNames": ["hub-token", "url-token"]}],
        "two": [rule | {"resourceNames": ["t"]}],
    }


def test_the_operator_alone_has_them() -> None:
    binding = one(render(secretReaders=GRANTS[:1]), "RoleBinding", NAME)
    assert binding["roleRef"]["name"] == NAME
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "lorapool-operator", "namespace": NAMESPACE}]


def test_a_namespace_without_names_is_refused() -> None:
    assert "names" in refusal(secretReaders=[{"namespace": "one", "names": []}])


def test_the_key_for_pictures_is_mounted_in_the_gateway_alone() -> None:
    objects = render(gateway__contentCredentials={"secretName": "pictures"})
    gateway = one(objects, "Deployment", "lorapool-gateway")
    folder = environment(gateway)["LORAPOOL_CONTENT_CREDENTIALS_DIR"]
    assert {"name": "content-credentials", "mountPath": folder, "readOnly": True} in container(gateway)["volumeMounts"]
    named = [made["metadata"]["name"] for made in objects if "'secretName': 'pictures'" in str(made)]
    assert named == ["lorapool-gateway"]
    assert "LORAPOOL_CONTENT_CREDENTIALS_DIR" not in environment(one(render(), "Deployment", "lorapool-gateway"))
