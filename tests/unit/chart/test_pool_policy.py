"""What the chart lets pools ask for of their pods."""

from typing import Any

from tests.unit.chart.helm import NEWEST, VERSIONS, kinds, one, refusal, render

EVERYTHING = ["hostNamespaces", "hostPath", "privileged", "capabilities", "serviceAccount", "serviceAccountToken"]


def rules(**policy: Any) -> int:
    objects = render(**{f"poolPolicy__{name}": value for name, value in policy.items()})
    return len(one(objects, "ValidatingAdmissionPolicy", "lorapool-pools")["spec"]["validations"])


def test_each_rule_can_be_taken_away() -> None:
    assert rules() - rules(allow=EVERYTHING) == len(EVERYTHING)
    for name in EVERYTHING:
        assert rules() - rules(allow=[name]) == 1
    assert "/poolPolicy/allow/0" in refusal(poolPolicy__allow=["everything"])


def test_kubernetes_without_such_policies_gets_none_nor_who_wants_none() -> None:
    assert kinds(render(NEWEST), "ValidatingAdmissionPolicyBinding")
    assert not kinds(render(VERSIONS[0]), "ValidatingAdmissionPolicy")
    assert not kinds(render(poolPolicy__enabled=False), "ValidatingAdmissionPolicy")


def test_it_is_about_the_watched_namespaces_but_for_those_that_are_exempt() -> None:
    objects = render(watchNamespaces=["one", "two"], poolPolicy__exemptNamespaces=["two"])
    (binding,) = kinds(objects, "ValidatingAdmissionPolicyBinding")
    terms = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert [(t["operator"], t.get("values")) for t in terms] == [
        ("In", ["one", "two"]),
        ("NotIn", ["two"]),
        ("Exists", None),
    ]
