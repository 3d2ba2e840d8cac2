"""What the chart makes of its values."""

import base64
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic_settings import BaseSettings
from tests.unit.chart.everything import EVERYTHING
from tests.unit.chart.helm import (
    CHART,
    NAMESPACE,
    NEWEST,
    VERSIONS,
    Manifest,
    container,
    environment,
    kinds,
    one,
    parsed,
    pod,
    refusal,
    render,
    rules,
    run,
    template,
)

from lorapool_api.kinds.serving import Serving
from lorapool_common.http.listening import listen_host
from lorapool_gateway.settings import Settings as GatewaySettings
from lorapool_local.binaries.tools import KUBERNETES_VERSIONS
from lorapool_operator.settings import Settings as OperatorSettings


def workloads(objects: list[Manifest]) -> list[Manifest]:
    return [found for kind in ("Deployment", "Job", "Pod") for found in kinds(objects, kind)]


def test_helm_finds_nothing_to_complain_about() -> None:
    done = run("lint", "--strict", "--kube-version", f"{NEWEST}.0", str(CHART))
    assert done.returncode == 0, done.stdout


def core_objects(version: str, values: dict[str, Any]) -> list[Manifest]:
    """All but those whose kinds are defined by CRDs, and these: their schemas are not among those of the package."""
    defined = ("CustomResourceDefinition", "HTTPRoute")
    return [found for found in render(version, **values) if found["kind"] not in defined]


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_on_every_kubernetes_that_the_chart_names(version: str, values: dict[str, Any]) -> None:
    for found in core_objects(version, values):
        kubernetes_validate.validate(found, version, strict=True)


def test_a_plane_can_be_had_of_the_oldest_and_the_newest_kubernetes() -> None:
    assert set(KUBERNETES_VERSIONS) == {VERSIONS[0], NEWEST}
    assert f">={VERSIONS[0]}.0-0" in yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    assert f"Kubernetes {VERSIONS[0]} to {NEWEST}" in (CHART / "README.md").read_text()


def test_an_older_kubernetes_is_refused() -> None:
    done = run("template", str(CHART), "--kube-version", "1.28.0")
    assert "incompatible with Kubernetes" in done.stderr


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_every_pod_meets_the_restricted_standard(values: dict[str, Any]) -> None:
    for workload in workloads(render(**values)):
        of_pod = pod(workload)["securityContext"]
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        security = container(workload)["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
        assert "tmp" in {mount["name"] for mount in container(workload)["volumeMounts"]}
        assert pod(workload)["enableServiceLinks"] is (
            workload["kind"] == "Pod"
        )  # that reads the gateway's address there


def test_the_crds_are_those_of_the_repository_and_are_kept() -> None:
    objects = render()
    for path in sorted((Path(__file__).parents[3] / "crds").glob("*.yaml")):
        written = yaml.safe_load(path.read_text())
        rendered = one(objects, "CustomResourceDefinition", written["metadata"]["name"])
        assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert rendered == written
    assert len(kinds(objects, "CustomResourceDefinition")) == 2


def test_the_crds_can_be_left_out_or_go_with_the_release() -> None:
    assert not kinds(render(crds__install=False), "CustomResourceDefinition")
    for crd in kinds(render(crds__keep=False), "CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]


def test_the_gateway_may_only_list_and_watch_what_it_routes_by() -> None:
    reads = [("lorapool.dev", "basemodelpools"), ("lorapool.dev", "loraadapters"), ("", "pods")]
    expected = {(group, resource, verb) for group, resource in reads for verb in ("list", "watch")}
    assert rules(one(render(), "ClusterRole", "lorapool-gateway")) == expected


def test_the_operator_touches_no_secret_and_deletes_nothing() -> None:
    given = rules(one(render(), "ClusterRole", "lorapool-operator"))
    assert not [rule for rule in given if rule[1] == "secrets"]
    assert not {verb for _, _, verb in given} & {"delete", "deletecollection", "*", "escalate", "bind", "impersonate"}
    assert not [rule for rule in given if "*" in rule]


def test_the_operator_writes_one_lease_by_name() -> None:
    objects = render()
    role = one(objects, "Role", "lorapool-operator-leader")
    named = [rule for rule in role["rules"] if set(rule["verbs"]) != {"create"}]
    assert [rule["resourceNames"] for rule in named] == [["lorapool-operator"]]
    assert environment(one(objects, "Deployment", "lorapool-operator"))["LORAPOOL_LEASE"] == "lorapool-operator"


def test_every_binding_leads_to_an_account_and_a_role_of_the_chart() -> None:
    for namespaces in ([], ["one", "two"]):
        objects = render(watchNamespaces=namespaces)
        accounts = {o["metadata"]["name"] for o in kinds(objects, "ServiceAccount")}
        roles = {(o["kind"], o["metadata"]["name"]) for o in objects if o["kind"] in ("Role", "ClusterRole")}
        for binding in kinds(objects, "RoleBinding") + kinds(objects, "ClusterRoleBinding"):
            assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles
            assert {s["name"] for s in binding["subjects"]} <= accounts
            assert {s["namespace"] for s in binding["subjects"]} == {NAMESPACE}
        for workload in workloads(objects):
            assert pod(workload)["serviceAccountName"] in accounts


def test_watched_namespaces_get_bindings_of_their_own_and_nothing_is_granted_elsewhere() -> None:
    objects = render(watchNamespaces=["one", "two"])
    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]
    bound = {(o["metadata"]["name"], o["metadata"]["namespace"]) for o in kinds(objects, "RoleBinding")}
    assert {(n, ns) for n, ns in bound if ns != NAMESPACE} == {
        *((f"lorapool-{part}-watched", ns) for part in ("operator", "gateway", "cleanup") for ns in ("one", "two")),
        ("lorapool-self-test", "one"),
    }
    for role in (o for o in kinds(objects, "Role") if o["metadata"]["name"] == "lorapool-operator"):
        assert not [r for r in rules(role) if r[1] == "namespaces"]
    for name in ("lorapool-operator", "lorapool-gateway"):
        assert environment(one(objects, "Deployment", name))["LORAPOOL_NAMESPACES"] == "one,two"


def test_the_pods_understand_every_variable_that_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = render(**EVERYTHING)
    known: dict[str, tuple[type[BaseSettings], set[str]]] = {
        "lorapool-gateway": (GatewaySettings, {"X"}),
        "lorapool-operator": (
            OperatorSettings,
            {"POD_NAME", "POD_NAMESPACE", "POD_IP", "HF_ENDPOINT", "CIVITAI_ENDPOINT"},
        ),
    }
    for name, (settings, others) in known.items():
        values = environment(one(objects, "Deployment", name))
        fields = {f"LORAPOOL_{field.upper()}" for field in settings.model_fields}
        assert set(values) <= fields | others
        for variable, value in values.items():
            monkeypatch.setenv(variable, value)
        settings()


def test_the_images_of_pools_follow_the_version_of_the_chart() -> None:
    values = environment(one(render(), "Deployment", "lorapool-operator"))
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert values["LORAPOOL_RUNTIME_IMAGE"] == f"ghcr.io/lorapool/lorapool-runtime:{version}"
    assert values["LORAPOOL_STUB_IMAGE"] == f"ghcr.io/lorapool/lorapool-runtime:{version}-stub"


def test_a_digest_goes_before_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"repository": "r.test/lorapool-operator", "tag": "1", "digest": digest}
    found = one(render(image__operator=image), "Deployment", "lorapool-gateway")
    assert container(found)["image"] == f"r.test/lorapool-operator@{digest}"


def mounted(objects: list[Manifest], part: str) -> list[str]:
    """Secrets that its pods mount."""
    volumes = one(objects, "Deployment", f"lorapool-{part}")["spec"]["template"]["spec"]["volumes"]
    return [v["secret"]["secretName"] for v in volumes if "secret" in v]


def test_the_keys_are_random_and_can_be_ones_own() -> None:
    anew = [parsed(template({}).stdout) for _ in range(2)]
    keys = {secret["data"]["key"] for objects in anew for secret in kinds(objects, "Secret")}
    assert len(keys) == 4
    assert {len(base64.b64decode(key)) for key in keys} == {32}
    objects = render(operator__existingKeySecret="mine", gateway__existingKeySecret="ours")
    assert not kinds(objects, "Secret")
    assert (mounted(objects, "operator"), mounted(objects, "gateway")) == (["mine", "ours"], ["ours"])


def test_the_gateway_holds_its_own_key_alone_and_the_operator_both() -> None:
    objects = render()
    assert mounted(objects, "gateway") == ["lorapool-gateway-key"]
    assert mounted(objects, "operator") == ["lorapool-operator-key", "lorapool-gateway-key"]


def test_the_keys_outlive_an_uninstall_and_the_notes_say_how_to_remove_them() -> None:
    for secret in kinds(render(), "Secret"):
        assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    assert (
        'delete secret {{ include "lorapool.operatorKeySecret" . }} {{ include "lorapool.gatewayKeySecret" . }}'
        in notes
    )


def test_api_keys_are_mounted_where_the_gateway_looks() -> None:
    gateway = one(render(gateway__apiKeysSecret="keys"), "Deployment", "lorapool-gateway")
    folder = environment(gateway)["LORAPOOL_API_KEYS_DIR"]
    assert {"name": "api-keys", "mountPath": folder, "readOnly": True} in container(gateway)["volumeMounts"]
    assert "LORAPOOL_API_KEYS_DIR" not in environment(one(render(), "Deployment", "lorapool-gateway"))


def test_requests_have_time_to_end_before_the_pod_is_killed() -> None:
    gateway = one(render(), "Deployment", "lorapool-gateway")
    values = environment(gateway)
    assert int(values["LORAPOOL_GRACE_SECONDS"]) > Serving().request_timeout_seconds
    assert GatewaySettings().grace_seconds > Serving().request_timeout_seconds
    ending = int(values["LORAPOOL_DRAIN_SECONDS"]) + int(values["LORAPOOL_GRACE_SECONDS"])
    assert ending < gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert "must exceed" in refusal(gateway__terminationGracePeriodSeconds=10)


def test_the_gateways_service_leads_to_the_port_for_requests() -> None:
    objects = render()
    service = one(objects, "Service", "lorapool-gateway")
    gateway = one(objects, "Deployment", "lorapool-gateway")
    labels = gateway["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    ports = {port["name"]: port["containerPort"] for port in container(gateway)["ports"]}
    assert ports[service["spec"]["ports"][0]["targetPort"]] == 8080
    assert labels["app.kubernetes.io/part-of"] == "lorapool"


def test_services_have_both_families_where_the_cluster_has_both() -> None:
    assert one(render(), "Service", "lorapool-gateway")["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    service = {"ipFamilyPolicy": "SingleStack"}
    assert (
        one(render(gateway__service=service), "Service", "lorapool-gateway")["spec"]["ipFamilyPolicy"] == "SingleStack"
    )


def test_no_pod_is_told_to_listen_on_one_address_of_its_own() -> None:
    for name in ("lorapool-gateway", "lorapool-operator"):
        values = environment(one(render(), "Deployment", name))
        assert "LORAPOOL_LISTEN" not in values
        assert listen_host(values.get("LORAPOOL_LISTEN"), "10.0.0.7") != "10.0.0.7"


def test_finalizers_are_removed_when_nobody_can_put_them_back() -> None:
    objects = render()
    job = one(objects, "Job", "lorapool-cleanup")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-delete"
    assert container(job)["args"] == ["operator", "--remove-finalizers"]
    helpers = [o for o in objects if o["metadata"]["name"] == "lorapool-cleanup" and o is not job]
    assert {o["kind"] for o in helpers} == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    assert {o["metadata"]["annotations"]["helm.sh/hook"] for o in helpers} == {"post-delete"}
    granted = rules(one(objects, "ClusterRole", "lorapool-cleanup"))
    assert granted == {("lorapool.dev", "loraadapters", verb) for verb in ("get", "list", "patch")}


def test_drains_are_never_blocked() -> None:
    budgets = kinds(render(), "PodDisruptionBudget")
    assert len(budgets) == 2
    assert {b["spec"]["maxUnavailable"] for b in budgets} == {1}


def test_names_follow_the_release_unless_told_otherwise() -> None:
    named = render(fullnameOverride="images")
    assert one(named, "Deployment", "images-gateway")
    other = yaml.safe_load_all(run("template", "demo", str(CHART), "--kube-version", "1.34.0").stdout)
    assert "demo-lorapool-operator" in {o["metadata"]["name"] for o in other if o and o["kind"] == "Deployment"}


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway__replicas": "two"}, "/gateway/replicas"),
        ({"gateway__replics": 2}, "replics"),
        ({"watchNamespaces": ["Not a name"]}, "/watchNamespaces/0"),
        ({"image__operator": {"repository": ""}}, "/image/operator/repository"),
        ({"image__runtime": {"repository": "r", "digest": "latest"}}, "/image/runtime/digest"),
        ({"hub__endpoint": "hub.test"}, "/hub/endpoint"),
        ({"civitai__endpoint": "civitai.test"}, "/civitai/endpoint"),
        ({"sources__urlHosts": ["https://a.test/x"]}, "/sources/urlHosts/0"),
        ({"logLevel": "LOUD"}, "/logLevel"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(values: dict[str, Any], place: str) -> None:
    assert place in refusal(**values)
