"""What is known of an adapter, or of one of its versions, when its status is decided."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from lorapool_api.kinds.adapter import Resolved
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.wire.state import AdapterFileFacts, AdapterPhase, AdapterState
from lorapool_operator.decide.adapters.checker import CheckResult
from lorapool_operator.decide.adapters.pool_pods import PoolPods
from lorapool_operator.decide.adapters.resolved import resolved
from lorapool_operator.decide.versions import as_version, resolution_of
from lorapool_operator.placement.place import CopyCount
from lorapool_operator.seen.handover import ServedElsewhere


@dataclass(frozen=True)
class InPod:
    """What a pod says of an adapter, for the generation that its object has now.

    Attributes:
        pod: its name.
        is_warm: whether the pod's base is loaded.
    """

    pod: str
    is_warm: bool
    state: AdapterState


@dataclass(frozen=True)
class StatusInput:
    """What the status of an adapter depends on.

    Attributes:
        copies: how many pods shall hold it ahead of requests.
        in_pods: what the pods say that speak about this generation; only of an adapter that they shall have.
        candidate: the same of the version that is to take over.
        elsewhere: how it fares in the pool that it leaves; None: it leaves none.
        is_overdue: whether that waits no longer for copies that are late.
        now: the time that a condition gets whose status is another than before; a later one makes no other status.
    """

    result: CheckResult
    pods: PoolPods
    copies: CopyCount
    in_pods: tuple[InPod, ...]
    now: datetime = field(compare=False)
    candidate: "StatusInput | None" = None
    elsewhere: ServedElsewhere | None = None
    is_overdue: bool = False

    @cached_property
    def serving(self) -> int:
        """Pods that can serve it: it is ready there, and so is the base."""
        return sum(p.is_warm and p.state.phase is AdapterPhase.READY for p in self.in_pods)

    @cached_property
    def failed(self) -> tuple[InPod, ...]:
        return tuple(p for p in self.in_pods if p.state.phase is AdapterPhase.FAILED)

    def under_way(self, phase: AdapterPhase) -> int:
        return sum(p.state.phase is phase for p in self.in_pods)

    @property
    def source(self) -> AdapterSource:
        """Of the version that this is about, as it was written."""
        version, adapter = self.result.version, self.result.adapter
        return adapter.spec.source if version is None else version.source

    @cached_property
    def facts(self) -> tuple[AdapterFileFacts | None, ...]:
        """What pods found in the file, those first that can serve it."""
        ready_first = sorted(self.in_pods, key=lambda pod: pod.state.phase is not AdapterPhase.READY)
        return tuple(pod.state.facts for pod in ready_first)

    @cached_property
    def resolved(self) -> Resolved | None:
        """What was found of the file."""
        adapter, version = self.result.adapter, self.result.version
        if version is None:
            return resolved(adapter, self.result.resolution, self.facts)
        # One that is not accepted, suspended for example, is not looked at: its file is what it was.
        found = self.result.resolution or resolution_of(version)
        return resolved(as_version(adapter, version), found, self.facts, version)
