"""The control port: what the operator gets."""

import asyncio
from pathlib import Path

import pytest
from tests import files
from tests.runtime.pods import Running, config, entry, eventually, settings, started, write_adapter

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.fleet import Assignment, encoded_assignment
from lorapool_api.wire.state import AdapterPhase, BasePhase, BaseReport, PodState, Tier
from lorapool_runtime.engine.contract import Progress
from lorapool_runtime.engine.stub import StubEngine
from lorapool_runtime.errors import ModelError


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "secret-of-this-test"}])
async def test_the_control_port_is_closed_without_the_token(tmp_path: Path, header: dict[str, str]) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        del pod.control.headers["authorization"]
        for method, path in [
            ("GET", "/v1/base"),
            ("GET", "/v1/state"),
            ("PUT", "/v1/catalog"),
            ("PATCH", "/v1/catalog"),
        ]:
            reply = await pod.control.request(method, path, headers=header)
            assert (reply.status_code, reply.json()["code"]) == (401, "Unauthorized"), path


async def test_a_rotated_token_counts_at_once(tmp_path: Path) -> None:
    own = settings(tmp_path, config(tmp_path))
    async with started(own) as pod:
        assert (await pod.control.get("/v1/state")).status_code == 200
        own.control_token_file.write_text("another\n")
        assert (await pod.control.get("/v1/state")).status_code == 401
        fresh = {"authorization": "Bearer another"}
        assert (await pod.control.get("/v1/state", headers=fresh)).status_code == 200


async def test_a_pod_without_a_token_file_lets_nobody_in(tmp_path: Path) -> None:
    own = settings(tmp_path, config(tmp_path))
    own.control_token_file.unlink()
    async with started(own) as pod:
        assert (await pod.control.get("/v1/state", headers={"authorization": "Bearer"})).status_code == 401


async def test_a_catalog_makes_adapters_ready(tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "adapters", "one", layout="kohya", rank=4)
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as pod:
        first = await pod.apply(entry(one, generation=3))
        assert first.complete
        assert first.digest == Catalog.of([entry(one, generation=3)]).digest

        state = await pod.until("default/one")
        assert (state.phase, state.tier, state.generation) == (AdapterPhase.READY, Tier.HOST, 3)
        assert state.facts is not None
        assert (state.facts.rank, state.facts.targets, state.facts.format) == (4, 1, "kohya")
        assert state.facts.sha256 == files.sha256(one.read_bytes())


async def test_a_delta_on_another_catalog_is_refused(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await pod.apply()
        delta = CatalogDelta(base="0" * 64, digest="1" * 64).model_dump(mode="json")
        reply = await pod.control.patch("/v1/catalog", json=delta)
        assert (reply.status_code, reply.json()["code"]) == (409, "DigestMismatch")
        assert (await pod.state()).digest == Catalog.of(()).digest


async def test_a_delta_adds_and_removes(tmp_path: Path) -> None:
    root = tmp_path / "adapters"
    one, two = entry(write_adapter(root, "one", seed=1)), entry(write_adapter(root, "two", seed=2))
    async with started(settings(tmp_path, config(root))) as pod:
        before = await pod.apply(one)
        after = Catalog.of([two])
        delta = CatalogDelta(base=str(before.digest), digest=after.digest, upsert=(two,), remove=(one.key,))
        reply = await pod.control.patch("/v1/catalog", json=delta.model_dump(mode="json"))
        state = PodState.model_validate(reply.json())

        assert (state.digest, state.complete, set(state.adapters)) == (after.digest, False, {two.key})
        await pod.until(two.key, AdapterPhase.READY)
        assert set((await pod.state()).adapters) == {two.key}
        assert (await pod.generate(adapters=[{"key": one.key}])).status_code == 404


async def test_a_delta_comes_with_an_assignment_and_does_not_hold_it_up(tmp_path: Path) -> None:
    root = tmp_path / "adapters"
    one, two = entry(write_adapter(root, "one", seed=1)), entry(write_adapter(root, "two", seed=2))
    before, after = Catalog.of([one]), Catalog.of([one, two])
    async with started(settings(tmp_path, config(root))) as pod:
        await pod.apply(one)
        for base, holds, digest, said in (
            ("0" * 64, (), before.digest, set()),
            (before.digest, (two.key,), after.digest, {two.key}),
        ):
            delta = CatalogDelta(base=base, digest=after.digest, upsert=(two,))
            given = Assignment.of("default/pod", {}, holds)
            reply = await pod.control.put("/v1/assignment", content=encoded_assignment(given, delta))
            state = PodState.model_validate(reply.raise_for_status().json())
            assert (state.assignment, state.digest, set(state.adapters)) == (given.digest, digest, said)
        assert type(pod.runtime.fleet.assignment) is Assignment, "the delta is not kept with it"
        await pod.until(two.key, AdapterPhase.READY)


async def _poll(pod: Running, since: int, instance: str | None = None, wait: float = 30) -> PodState:
    query: dict[str, str | float] = {"since": since, "instance": instance or pod.runtime.instance, "wait": wait}
    return PodState.model_validate((await pod.control.get("/v1/state", params=query)).raise_for_status().json())


async def test_waiting_for_a_change_ends_with_the_change(tmp_path: Path) -> None:
    root = tmp_path / "adapters"
    one, two = (entry(write_adapter(root, name, seed=i)) for i, name in enumerate(("one", "two")))
    async with started(settings(tmp_path, config(root))) as pod:
        await pod.apply(one)
        await pod.until(one.key)
        await eventually(lambda: pod.runtime.not_ready is None)
        now = await pod.state()
        waiting = asyncio.create_task(_poll(pod, now.version))
        await pod.apply(one, two)
        changed = await waiting

        assert changed.version > now.version
        assert (changed.complete, set(changed.adapters)) == (False, {two.key})


async def test_waiting_ends_in_time_without_a_change(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        now = await pod.state()
        unchanged = await _poll(pod, now.version, wait=0.05)
        assert (unchanged.version, unchanged.adapters) == (now.version, {})


async def test_who_knew_another_instance_gets_the_whole_state_at_once(tmp_path: Path) -> None:
    one = entry(write_adapter(tmp_path / "adapters", "one"))
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as pod:
        await pod.apply(one)
        state = await _poll(pod, 10**6, instance="the process before")
        assert (state.complete, set(state.adapters)) == (True, {one.key})


async def test_a_removal_is_told_with_the_whole_state(tmp_path: Path) -> None:
    one = entry(write_adapter(tmp_path / "adapters", "one"))
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as pod:
        await pod.apply(one)
        await pod.until(one.key)
        before = await pod.state()
        await pod.apply()
        state = await _poll(pod, before.version)
        assert (state.complete, state.adapters) == (True, {})


async def test_who_asks_for_what_has_gone_is_told_no_more_than_that(tmp_path: Path) -> None:
    root = tmp_path / "adapters"
    one, two = (entry(write_adapter(root, name, seed=i)) for i, name in enumerate(("one", "two")))
    async with started(settings(tmp_path, config(root))) as pod:
        await pod.apply(one, two)
        await pod.until_all([one.key, two.key])
        await eventually(lambda: pod.runtime.not_ready is None)
        before = await pod.state()
        await pod.apply(two)
        query = {"since": str(before.version), "instance": before.instance, "gone": "1"}
        state = PodState.model_validate((await pod.control.get("/v1/state", params=query)).json())
        assert (state.complete, state.gone, state.adapters) == (False, (one.key,), {})


@pytest.mark.parametrize("query", ["since=x", "since=-1", "since=0&wait=soon"])
async def test_a_bad_query_is_refused(tmp_path: Path, query: str) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        reply = await pod.control.get(f"/v1/state?{query}")
        assert (reply.status_code, reply.json()["code"]) == (400, "InvalidRequest")


async def test_a_bad_catalog_changes_nothing(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await pod.apply()
        before = await pod.state()
        reply = await pod.control.put("/v1/catalog", json={"digest": "x", "entries": [{"key": "a/b"}]})
        assert (reply.status_code, reply.json()["code"]) == (400, "InvalidRequest")
        assert (await pod.state()).digest == before.digest


async def test_an_edited_source_is_served_only_with_the_new_file(tmp_path: Path) -> None:
    root = tmp_path / "adapters"
    old, new = write_adapter(root, "old", seed=1), write_adapter(root, "new", seed=2)
    async with started(settings(tmp_path, config(root))) as pod:
        await pod.apply(entry(old, key="default/one"))
        await pod.until("default/one")
        await pod.apply(entry(new, key="default/one", generation=2))
        state = await pod.until("default/one", AdapterPhase.READY)
        assert state.generation == 2
        assert state.facts is not None
        assert state.facts.sha256 == files.sha256(new.read_bytes())


async def test_a_file_that_was_replaced_is_another_version_and_no_edit_of_the_first(tmp_path: Path) -> None:
    root = tmp_path / "adapters"
    path = write_adapter(root, "one", seed=1)
    first = files.sha256(path.read_bytes())
    async with started(settings(tmp_path, config(root))) as pod:
        await pod.apply(entry(path))
        await pod.until("default/one")
        write_adapter(root, "one", seed=2)
        served, other = entry(path, generation=2, sha256=first), entry(path, key="default/one@2", generation=2)
        await pod.apply(served, other)
        after = await pod.until("default/one@2", AdapterPhase.READY)
        before = (await pod.state()).adapters["default/one"]
    assert before.phase is AdapterPhase.READY
    assert before.facts is not None
    assert before.facts.sha256 == first
    assert after.facts is not None
    assert after.facts.sha256 == files.sha256(path.read_bytes())


async def test_a_restarted_container_serves_on_with_its_last_catalog(tmp_path: Path) -> None:
    one = entry(write_adapter(tmp_path / "adapters", "one"))
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as pod:
        digest = (await pod.apply(one)).digest
        instance = pod.runtime.instance
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as pod:
        await pod.until(one.key, AdapterPhase.READY)
        await eventually(lambda: pod.runtime.not_ready is None)
        state = await pod.state()
        assert state.digest == digest
        assert state.instance != instance
        assert (await pod.generate(adapters=[{"key": one.key}])).status_code == 200


async def test_the_base_is_reported_once_it_is_warm(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path, StubTimings(load_milliseconds=300)))) as pod:
        early = await pod.control.get("/v1/base")
        assert (early.status_code, early.json()["code"]) == (503, "NotReady")
        assert (await pod.state()).base.phase is BasePhase.LOADING
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.WARM)
        assert BaseReport.model_validate((await pod.control.get("/v1/base")).json()).modules == {}
        warm = (await pod.state()).base
        assert warm.phase is BasePhase.WARM
        assert warm.cold_start_s is not None
        assert warm.cold_start_s > 0.2


def _broken_base(_: Progress) -> StubEngine:
    raise ModelError("/models/shapes-xl holds no model_index.json")


async def test_a_base_that_cannot_be_loaded_is_explained_by_a_process_that_stays(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path)), _broken_base) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.FAILED)
        base = (await pod.state()).base
        assert (base.reason, base.message) == (Reason.MODEL_LOAD_FAILED, "/models/shapes-xl holds no model_index.json")
        assert (await pod.serving.get("/healthz")).status_code == 200
        assert (await pod.serving.get("/readyz")).status_code == 503
        reply = await pod.generate()
        assert (reply.status_code, reply.json()["reason"]) == (503, "ModelLoadFailed")
