"""What a pass over a pool sees, built by hand; everything that a test does not say has a plain value."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests import make

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import Condition, find
from lorapool_api.kinds.pool import AdapterCounts, Pool
from lorapool_api.wire.state import AdapterPhase, AdapterState, BasePhase, BaseReport, BaseState
from lorapool_operator.decide.adapters.checker import CheckResults
from lorapool_operator.decide.adapters.checks import Finding
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.adapters.incremental.checked import CheckedAdapters, ChecksInput
from lorapool_operator.decide.adapters.incremental.counted import Tally
from lorapool_operator.decide.adapters.incremental.statuses import StatusesInput
from lorapool_operator.placement.place import CopyCount
from lorapool_operator.seen.observed import Observed, PodReport
from lorapool_operator.seen.resolution import Outcome, Resolution
from lorapool_operator.seen.views import DeploymentView, PodView

TEMPLATE: dict[str, Any] = {
    "spec": {
        "containers": [{"name": "runtime", "volumeMounts": [{"name": "files", "mountPath": "/adapters"}]}],
        "volumes": [{"name": "files", "emptyDir": {}}],
    }
}
REVISION = "rev"
WARM = BaseState(phase=BasePhase.WARM, revision=REVISION, size_bytes=7, cold_start_s=2.0)
LOADING = BaseState(phase=BasePhase.LOADING)
NO_MODULES = BaseReport(revision=REVISION, modules={})


def pool(name: str = "shapes", template: Mapping[str, Any] = TEMPLATE, **spec: Any) -> Pool:
    """A pool whose pods mount /adapters, for paths."""
    runtime = {"engine": "stub", "device": "cpu", "podTemplate": template}
    adapters = {"pathVolumes": ["files"]} | spec.pop("adapters", {})
    return make.pool(name, **({"runtime": runtime, "adapters": adapters} | spec))


def pod(name: str = "p-1", **fields: Any) -> PodView:
    """A pod that runs and is ready."""
    plain = PodView(
        name=name,
        namespace="default",
        uid=f"uid-{name}",
        pool="default/shapes",
        ip="127.0.0.9",
        phase="Running",
        ready=True,
        terminating=False,
        created=make.EPOCH,
    )
    return replace(plain, **fields)


def deployment(**fields: Any) -> DeploymentView:
    """A Deployment that has rolled out its one pod."""
    plain = DeploymentView(
        name="shapes-runtime",
        namespace="default",
        uid="uid-d",
        pool="default/shapes",
        generation=1,
        observed_generation=1,
        replicas=1,
        updated=1,
        failure=None,
        owner="uid-default-shapes",
    )
    return replace(plain, **fields)


def state(phase: AdapterPhase = AdapterPhase.READY, generation: int = 1, **fields: Any) -> AdapterState:
    return AdapterState(phase=phase, generation=generation, **fields)


def report(
    base: BaseState | None = WARM,
    *,
    reachable: bool = True,
    digest: str = "d",
    accepts_token: bool = True,
    **adapters: AdapterState,
) -> PodReport:
    """What a pod said; adapters of the namespace default by their names."""
    said = {f"default/{name}": s for name, s in adapters.items()}
    return PodReport(reachable, digest, base, said, accepts_token)


def seen(
    *adapters: Adapter,
    pool: Pool | None,
    reports: Mapping[str, PodReport] | None = None,
    outcome: Outcome | None = None,
    base: BaseReport | None = NO_MODULES,
    **fields: Any,
) -> Observed:
    """A snapshot with one pod for each report; every adapter's source turned out to be `outcome`."""
    said = {"p-1": report()} if reports is None else reports
    plain = Observed(
        key="default/shapes",
        pool=pool,
        adapters=adapters,
        pods=tuple(pod(name) for name in said),
        deployment=deployment(),
        outcomes={a.key: outcome or Resolution() for a in adapters},
        reports={f"default/{name}": t for name, t in said.items()},
        bases={} if base is None else {REVISION: base},
        namespace_labels={},
        url_hosts=("files.example.org",),
        now=make.EPOCH + timedelta(hours=1),
        clock_s=3600.0,
    )
    return replace(plain, **fields)


def finding(snapshot: Observed, adapter: Adapter | None = None) -> Finding | None:
    """What the checks find about an adapter of the snapshot."""
    return checked(snapshot)[(adapter or snapshot.adapters[0]).key].finding


def reason(snapshot: Observed, adapter: Adapter | None = None) -> str | None:
    found = finding(snapshot, adapter)
    return found.verdict.reason if found else None


def checked(snapshot: Observed, decisions: AdapterDecisions | None = None) -> CheckResults:
    """Results of the checks of all adapters, by a base that is known although no pod is warm now."""
    return all_checked(snapshot, decisions or AdapterDecisions()).results


def all_checked(snapshot: Observed, decisions: AdapterDecisions) -> CheckedAdapters:
    """The same with what follows from it."""
    return decisions.checked(ChecksInput.of(snapshot, snapshot.bases.get(REVISION)))


def statuses(
    snapshot: Observed, decisions: AdapterDecisions | None = None, copies: int = 2, unplaced: int = 0
) -> dict[str, AdapterStatus]:
    """Statuses of all adapters, by their keys; so many pods shall hold each of their versions, and so many further ones
    have no room."""
    by = decisions or AdapterDecisions()
    found, count = all_checked(snapshot, by), CopyCount(copies, unplaced)
    made = by.statuses(StatusesInput.of(found, {entry.key: count for entry in found.entries}, snapshot))
    return {key: wanted.status for key, wanted in made.by_key.items()}


def counts(statuses: Iterable[AdapterStatus]) -> AdapterCounts:
    """How many of them are how."""
    tally = Tally()
    for status in statuses:
        tally.replace(None, status)
    return tally.counts


def condition(conditions: Any, type_: str) -> Condition:
    found = find(conditions, type_)
    assert found is not None
    return found


def at(seconds: float) -> datetime:
    return make.EPOCH + timedelta(seconds=seconds)
