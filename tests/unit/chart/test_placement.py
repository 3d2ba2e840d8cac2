"""How many gateways there are, where the pods run, what goes before them, and what volumes they have."""

from tests.unit.chart.helm import container, environment, kinds, one, pod, refusal, render

PARTS = ("operator", "gateway")


def test_an_autoscaler_owns_the_gateways_replicas() -> None:
    objects = render(gateway__autoscaling={"enabled": True, "maxReplicas": 4}, gateway__replicas=3)
    spec = one(objects, "HorizontalPodAutoscaler", "lorapool-gateway")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "lorapool-gateway"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 4)
    cpu = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "600m"}}
    assert spec["metrics"] == [{"type": "Resource", "resource": cpu}]
    # An upgrade that named them would undo what it did.
    assert "replicas" not in one(objects, "Deployment", "lorapool-gateway")["spec"]


def test_without_it_the_number_is_that_of_the_values() -> None:
    objects = render(gateway__replicas=3)
    assert not kinds(objects, "HorizontalPodAutoscaler")
    assert one(objects, "Deployment", "lorapool-gateway")["spec"]["replicas"] == 3


def test_bounds_that_cross_are_refused() -> None:
    assert "must not exceed" in refusal(gateway__autoscaling={"enabled": True, "minReplicas": 5, "maxReplicas": 4})


def test_pods_of_one_part_are_spread_over_nodes_and_zones_where_that_is_possible() -> None:
    objects = render()
    for part in PARTS:
        workload = one(objects, "Deployment", f"lorapool-{part}")
        constraints = pod(workload)["topologySpreadConstraints"]
        assert [c["topologyKey"] for c in constraints] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        for constraint in constraints:
            assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
            assert constraint["labelSelector"] == workload["spec"]["selector"]
            assert constraint["matchLabelKeys"] == ["pod-template-hash"]


def test_a_constraint_with_pods_of_its_own_stays_as_it_is() -> None:
    mine = {
        "maxSkew": 2,
        "topologyKey": "rack",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"a": "b"}},
    }
    gateway = one(render(gateway__topologySpreadConstraints=[mine]), "Deployment", "lorapool-gateway")
    assert pod(gateway)["topologySpreadConstraints"] == [mine]
    none = one(render(gateway__topologySpreadConstraints=[]), "Deployment", "lorapool-gateway")
    assert "topologySpreadConstraints" not in pod(none)


def test_each_part_can_have_a_priority_and_the_operator_is_told_that_of_pools() -> None:
    classes = {f"{part}__priorityClassName": part for part in (*PARTS, "runtime")}
    objects = render(**classes)
    for part in PARTS:
        assert pod(one(objects, "Deployment", f"lorapool-{part}"))["priorityClassName"] == part
    told = environment(one(objects, "Deployment", "lorapool-operator"))
    assert told["LORAPOOL_RUNTIME_PRIORITY_CLASS"] == "runtime"


def test_pull_secrets_are_those_of_each_pods_own_namespace() -> None:
    objects = render(image__pullSecrets=["here"], runtime__pullSecrets=["there", "mirror"])
    for workload in (w for kind in ("Deployment", "Job", "Pod") for w in kinds(objects, kind)):
        assert pod(workload)["imagePullSecrets"] == [{"name": "here"}]
    told = environment(one(objects, "Deployment", "lorapool-operator"))
    assert told["LORAPOOL_RUNTIME_PULL_SECRETS"] == "there,mirror"


def test_by_default_pods_of_pools_are_as_they_were() -> None:
    told = environment(one(render(), "Deployment", "lorapool-operator"))
    assert not {"LORAPOOL_RUNTIME_PRIORITY_CLASS", "LORAPOOL_RUNTIME_PULL_SECRETS"} & told.keys()


def test_large_bodies_have_a_volume_with_more_room_than_the_gateway_takes() -> None:
    """The kubelet evicts a pod whose volume outgrows its limit."""
    found = one(render(gateway__spoolMebibytes=100), "Deployment", "lorapool-gateway")
    values = environment(found)
    (mount,) = (m for m in container(found)["volumeMounts"] if m["mountPath"] == values["LORAPOOL_SPOOL_DIR"])
    (volume,) = (v for v in pod(found)["volumes"] if v["name"] == mount["name"])
    assert volume["emptyDir"] == {"sizeLimit": "356Mi"}
    assert int(values["LORAPOOL_MAX_SPOOLED_BYTES"]) == 100 << 20
