"""During an upgrade both versions are there: what the newer one says is read by the older one too."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from tests import make
from tests.unit.operator import make as made

from lorapool_api.crd.generate import adapter_crd, pool_crd
from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import Condition, PoolCondition, Reason, traits
from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_api.wire.message import MAX_MESSAGE
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.state import AdapterPhase, AdapterState, BaseState, PodState, ServingStatus, Tier
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.decide.events import adapter_events, pool_events
from lorapool_operator.decide.pools.pool_status import pods_by_state

NEWER = {"type": "Ready", "status": "True", "reason": "FasterThanLight", "message": "it is", "observedGeneration": 1}


def manifest(body: dict[str, Any], **status: Any) -> dict[str, Any]:
    meta = {"uid": "u", "generation": 1, "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return body | {"metadata": body["metadata"] | meta, "status": status}


def test_an_object_of_a_newer_version_keeps_being_served() -> None:
    resolved = {"format": "hologram", "sha256": "0" * 64}
    adapter = manifest(make.adapter_manifest(), conditions=[NEWER], summary="FasterThanLight", resolved=resolved)
    pool = manifest(make.pool_manifest(), conditions=[NEWER])
    cache = ObjectCache(lambda _: None)

    cache.adapters.put_manifest(adapter)
    cache.pools.put_manifest(pool)

    read = cache.adapters.get("default/pixel")
    assert read is not None
    assert read.is_ready
    assert read.status.conditions[0].reason == "FasterThanLight"
    assert cache.pools.get("default/shapes") is not None


def test_what_is_known_is_read_as_the_enum_and_written_as_the_word() -> None:
    condition = Condition.model_validate(NEWER | {"reason": "Served"})

    assert condition.reason is Reason.SERVED
    assert Condition.model_validate_json('{"type":"Ready","status":"True","reason":"Served","message":""}').reason is (
        Reason.SERVED
    )
    assert condition.manifest()["reason"] == "Served"


def test_an_unknown_reason_is_not_one_that_waiting_helps_against() -> None:
    condition = Condition(type="Ready", status="False", reason="WornOut", message="it is worn out")
    now = AdapterStatus(summary="WornOut", conditions=(condition,))

    assert not traits(condition.reason).is_transient
    assert [n.reason for n in adapter_events(make.adapter(), now)] == ["WornOut"]
    assert made.counts([now]).failed == 1


def test_an_unknown_reason_of_a_pool_is_told_too() -> None:
    condition = Condition(type=PoolCondition.DEGRADED, status="True", reason="TooLoud", message="it hums")

    (event,) = pool_events(made.pool(), PoolStatus(conditions=(condition,)))

    assert (event.reason, event.is_warning) == ("TooLoud", True)


def test_a_newer_pod_is_understood() -> None:
    state = PodState.model_validate_json(
        """{"instance": "i", "version": 3, "digest": "d", "complete": true,
            "base": {"phase": "hibernating", "reason": "NightTime"},
            "adapters": {"default/pixel": {"phase": "thawing", "tier": "satellite", "generation": 1,
                         "reason": "NightTime",
                         "facts": {"sha256": "s", "size_bytes": 1, "rank": 2, "targets": 3, "format": "hologram"}},
                         "default/other": {"phase": "ready", "tier": "host", "generation": 1}}}"""
    )

    assert state.base.phase == "hibernating"
    assert state.adapters["default/pixel"].tier == "satellite"
    assert state.adapters["default/other"].phase is AdapterPhase.READY
    status = ServingStatus.model_validate_json(
        '{"instance":"i","digest":"d","ready":true,"pending":0,"running":0,"max_pending":9,'
        '"tiers":{"a":"device","b":"satellite"}}'
    )
    assert status.tiers == {"a": Tier.DEVICE, "b": "satellite"}


def test_a_phase_that_is_unknown_is_under_way() -> None:
    hibernating = BaseState(phase="hibernating")
    seen = made.seen(made_adapter := make.adapter(), pool=made.pool(), reports={"p-1": made.report(base=hibernating)})

    assert pods_by_state(seen)["ready"] == 1
    status = made.statuses(seen)[made_adapter.key]
    assert status.summary == Reason.WAITING_FOR_PODS


def test_an_error_of_a_newer_pod_is_read() -> None:
    reply = ErrorReply.model_validate_json('{"code":"OutOfPaint","message":"no more blue","reason":"Dry"}')

    assert (reply.code, reply.reason) == ("OutOfPaint", "Dry")
    assert ErrorReply.model_validate_json('{"code":"Timeout","message":""}').code is ErrorCode.TIMEOUT


@pytest.mark.parametrize("reason", ["two words", "", "x" * 2000, "<script>"])
def test_a_reason_is_one_word(reason: str) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(NEWER | {"reason": reason})


def test_the_definitions_take_the_reasons_of_newer_operators() -> None:
    """`crds.install: false` and a newer operator: an enum here would refuse every such status for ever."""
    for crd in (pool_crd(), adapter_crd()):
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        reason = schema["conditions"]["items"]["properties"]["reason"]
        assert reason["type"] == "string"
        assert "enum" not in reason
        assert "pattern" in reason
        assert reason["maxLength"] >= 64


def test_a_long_message_is_cut_where_it_is_received() -> None:
    said = AdapterState(phase=AdapterPhase.FAILED, message="x" * 40_000)

    assert len(said.message) == MAX_MESSAGE
    assert len(BaseState(phase="failed", message="y" * 40_000).message) == MAX_MESSAGE
    assert len(ErrorReply(code="Internal", message="z" * 40_000).message) == MAX_MESSAGE
    assert BaseState(phase="failed", message="short").message == "short"


def test_what_a_pod_says_of_one_adapter_hides_no_other() -> None:
    state = PodState.model_validate_json(
        """{"instance": "i", "version": 3, "digest": "d", "complete": true, "base": {"phase": "warm"},
            "adapters": {"default/odd": {"phase": 7, "generation": 4},
                         "default/long": {"phase": "ready", "generation": 1000000000000000000000000000000},
                         "default/good": {"phase": "ready", "generation": 2}}}"""
    )

    assert state.adapters["default/good"].phase is AdapterPhase.READY
    odd = state.adapters["default/odd"]
    assert (odd.phase, odd.reason, odd.generation) == (AdapterPhase.FAILED, Reason.INTERNAL_ERROR, 4)
    assert state.adapters["default/long"].phase is AdapterPhase.FAILED


def test_times_of_newer_conditions_stay() -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    adapter = Adapter.model_validate(
        manifest(make.adapter_manifest(), conditions=[NEWER | {"lastTransitionTime": "2026-01-01T00:00:00Z"}])
    )

    assert adapter.status.conditions[0].last_transition_time == then
    assert Pool.model_validate(manifest(make.pool_manifest(), conditions=[NEWER])).status.conditions
