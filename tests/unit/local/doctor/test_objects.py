"""What is wrong with pools and adapters: the first condition that is not true, and what to do."""

from tests import make
from tests.unit.local.doctor.clusters import condition, observed, pod, well

from lorapool_local.doctor.diagnosis import Severity
from lorapool_local.doctor.objects import check_adapters, check_pools

READY = condition("Ready", "True", "Available", "1 of 1 pods take requests")
SERVED = [condition(type_, "True", "Served") for type_ in ("Accepted", "Resolved", "Compatible", "Ready")]
NO_GPU = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes: no nvidia.com/gpu",
        }
    ]
}


def test_a_pool_and_an_adapter_that_serve_are_well() -> None:
    pool = observed(make.pool_manifest(), READY, adapters={"total": 2, "ready": 2, "failed": 0})
    adapter = observed(make.adapter_manifest(), *SERVED)
    facts = well(pools=(pool,), adapters=(adapter,))
    (about_pool,), (about_adapter,) = check_pools(facts), check_adapters(facts)
    assert (about_pool.level, about_pool.what) == (
        Severity.OK,
        "1 of 1 pods take requests; 2 of 2 adapters are served",
    )
    assert (about_adapter.level, about_adapter.about) == (Severity.OK, "adapter default/pixel")


def test_of_a_pool_without_a_ready_pod_its_pods_are_quoted() -> None:
    pool = observed(make.pool_manifest(), condition("Ready", "False", "Starting", "waiting for the first pod"))
    facts = well(pools=(pool,), pods=(pod("lorapool-runtime", "default", "shapes", **NO_GPU),))
    of_pool, of_pod = check_pools(facts)
    assert (of_pool.level, of_pool.about) == (Severity.WAIT, "pool default/shapes")
    assert of_pod.what == "Unschedulable: 0/3 nodes: no nvidia.com/gpu"
    assert "describe pod" in of_pod.remedy


def test_pods_of_other_pools_are_not() -> None:
    pool = observed(make.pool_manifest(), condition("Ready", "False", "Starting"))
    others = (pod("lorapool-runtime", "default", "other", **NO_GPU), pod("lorapool-runtime", "b", "shapes", **NO_GPU))
    assert len(check_pools(well(pools=(pool,), pods=others))) == 1


def test_of_an_adapter_the_first_condition_that_is_not_true_counts() -> None:
    untrue = condition("Compatible", "False", "BaseModelMismatch", "trained for SD 1.x")
    adapter = observed(make.adapter_manifest(), *SERVED[:2], untrue, condition("Ready", "False", "BaseModelMismatch"))
    (found,) = check_adapters(well(adapters=(adapter,)))
    assert found.level is Severity.ERROR
    assert found.what == "Compatible is False: BaseModelMismatch: trained for SD 1.x"
    assert found.remedy == "name a pool of the base that it was trained for"


def test_what_the_operator_has_not_looked_at_is_said() -> None:
    adapter, pool = make.adapter_manifest(), observed(make.pool_manifest(), READY, generation=2)
    facts = well(adapters=(observed(adapter),), pools=(pool,))
    assert "the operator has not looked at it" in check_adapters(facts)[0].what
    assert "since it was edited" in check_pools(facts)[0].what


def test_an_object_that_cannot_be_read_hides_no_other() -> None:
    broken = observed(make.adapter_manifest("broken")) | {"spec": {"source": {"hub": {"repo": 7}}}}
    found = check_adapters(well(adapters=(broken, observed(make.adapter_manifest(), *SERVED))))
    assert [f.level for f in found] == [Severity.ERROR, Severity.OK]
    assert "cannot be read" in found[0].what
