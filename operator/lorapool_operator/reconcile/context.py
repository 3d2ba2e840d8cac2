"""What all workers share."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import Resource, Selection
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.decide.events import EventDraft
from lorapool_operator.metrics import Metrics
from lorapool_operator.pods.link import ControlPorts
from lorapool_operator.reconcile.grants import ReadsCredentials
from lorapool_operator.reconcile.handovers import Handovers
from lorapool_operator.seen.resolution import BaseResolution, Outcome
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView
from lorapool_operator.settings import InstallationKeys, Settings

Manifest = dict[str, Any]


def utc_now() -> datetime:
    return datetime.now(UTC)


class ClusterApi(Protocol):
    """The API server, as the leader uses it. Raises: ApiError."""

    def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]: ...

    async def apply(self, manifest: Manifest) -> Manifest: ...

    async def look(self, resource: Resource, namespace: str, name: str) -> Manifest | None: ...

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Manifest, subresource: str | None = None
    ) -> Manifest: ...


class SourceResolver(Protocol):
    """Resolves the sources of adapters, in its own time."""

    def known(self, adapter: Adapter) -> Outcome:
        """What became of it so far. Starts nothing."""

    def resolve(self, adapter: Adapter) -> None:
        """Start where that is needed; the pool is woken when there is an outcome."""

    def pause(self, uid: str) -> None:
        """Follow its source no more, until it is to be resolved again."""

    def forget(self, uid: str) -> None: ...

    def close(self) -> None: ...


class BaseResolver(Protocol):
    """Looks up the commits of base models, in its own time."""

    def known(self, pool: Pool) -> BaseResolution:
        """What became of it so far. Starts nothing."""

    def resolve(self, pool: Pool) -> None:
        """Start where that is needed; the pool is woken when something is known."""

    def forget(self, uid: str) -> None: ...

    def close(self) -> None: ...


class DecidesReplicas(Protocol):
    """Knows how many pods each pool shall have, from what it hears while it runs."""

    async def run(self) -> None: ...

    def replicas(self, pool: Pool, deployment: DeploymentView | None) -> int: ...

    def requests(self, pods: tuple[str, ...]) -> Mapping[str, int]:
        """The requests that pods of these uids have, of those that have any, as far as anybody asks."""

    def problem(self, pool: Pool) -> Verdict | None:
        """Why `spec.scaling` takes no pod away; None: it may."""


class EventSink(Protocol):
    """Takes what a person shall read in `kubectl describe`."""

    def record(self, draft: EventDraft) -> None: ...

    async def run(self) -> None: ...


@dataclass(frozen=True)
class Context:
    """The operator's inputs and outputs, given to each worker."""

    settings: Settings
    keys: InstallationKeys
    cache: ObjectCache
    kube: ClusterApi
    control: ControlPorts
    resolver: SourceResolver
    bases: BaseResolver
    secrets: ReadsCredentials
    scaler: DecidesReplicas
    recorder: EventSink
    metrics: Metrics
    pushes: asyncio.Semaphore
    handovers: Handovers
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
