"""The inputs and outputs of a pass without a cluster: an API server that is a list of writes, a clock that is told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests import make
from tests.unit.operator.fake_pods import FakePods
from tests.unit.operator.secrets import Secrets
from tests.virtual_time import now_s

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import API_VERSION, POOL_KIND, POOL_LABEL, split_full_name
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import DEPLOYMENTS, PODS, Resource, Selection
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.decide.events import EventDraft
from lorapool_operator.metrics import Metrics
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.handovers import Handovers
from lorapool_operator.reconcile.reconciler import PassResult, Reconciler
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE, BaseResolution, Outcome, Resolution
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView, PodView, ReplicaSetView
from lorapool_operator.settings import InstallationKeys, Settings

Manifest = dict[str, Any]
Refuse = Callable[[str, Manifest], ApiError | None]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


class LoopClock(Clock):
    """The time of the running loop, for tests in virtual time."""

    def __call__(self) -> float:
        return now_s()


@dataclass
class Written:
    """A write that reached the API server, taken or not."""

    name: str
    body: Manifest


@dataclass
class ApiServer:
    """Takes every write unless `refuse` has an error for it; statuses come back to the cache as a watch brings them.

    `edits`: by object's name, what somebody else changes just before our next write of it. `there`: by kind and name,
    metadata of objects that nobody tells of. `write_s`: how long it takes over a patch.
    """

    cache: ObjectCache
    refuse: Refuse = lambda _name, _body: None
    writes: list[Written] = field(default_factory=list)
    there: dict[str, Manifest] = field(default_factory=dict)
    edits: dict[str, Manifest] = field(default_factory=dict)
    write_s: float = 0.0

    async def apply(self, manifest: Manifest) -> Manifest:
        meta = manifest["metadata"]
        name = f"{manifest['kind']}/{meta['name']}"
        self._take(name, manifest)
        made = meta | {"uid": f"uid-{meta['name']}", "generation": 1} | self._version()
        if manifest["kind"] == "Secret":
            self.there[name] = made
        return manifest | {"metadata": made}

    async def look(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        return self.there.get(f"{resource.kind}/{name}")

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Manifest, subresource: str | None = None
    ) -> Manifest:
        await asyncio.sleep(self.write_s)
        self._take(f"{resource.plural}/{name}{f'/{subresource}' if subresource else ''}", body)
        key = f"{namespace}/{name}"
        if resource is DEPLOYMENTS:
            view = self.cache.deployments.get(key)
            assert view is not None
            meta = {"name": name, "namespace": namespace, "uid": view.uid, "generation": view.generation + 1}
            labels = {"labels": {POOL_LABEL: split_full_name(view.pool)[1]}, "ownerReferences": [owner(view.owner)]}
            return {"metadata": meta | labels | self._version(), **body}
        if resource is PODS:
            pod = self.cache.pods.get(key)
            assert pod is not None
            return _pod_manifest(pod, body["metadata"]["annotations"], self._version())
        found: Pool | Adapter | None = self.cache.pools.get(key) or self.cache.adapters.get(key)
        assert found is not None
        old = {"metadata": found.metadata.manifest(), "spec": found.spec.manifest(), "status": found.status.manifest()}
        new: Manifest = merged(merged(old, self.edits.pop(name, {})), body)
        return new | {
            "metadata": new["metadata"] | {"resourceVersion": str(int(found.metadata.resource_version or 0) + 1)}
        }

    async def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]:
        yield Listing([], "1")

    def _version(self) -> Manifest:
        return {"resourceVersion": str(len(self.writes))}

    def _take(self, name: str, body: Manifest) -> None:
        self.writes.append(Written(name, body))
        error = self.refuse(name, body)
        if error is not None:
            raise error

    def count(self, name: str) -> int:
        return sum(w.name == name for w in self.writes)


def owner(uid: str | None) -> Manifest:
    """A reference to the pool that controls an object."""
    return {"apiVersion": API_VERSION, "kind": POOL_KIND, "name": "shapes", "uid": uid, "controller": True}


def _pod_manifest(pod: PodView, annotations: Manifest, version: Manifest) -> Manifest:
    """The pod as a watch would bring it, with these annotations."""
    made_by = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": pod.replica_set, "controller": True}
    meta = {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "labels": {POOL_LABEL: split_full_name(pod.pool)[1]},
        "annotations": {name: text for name, text in annotations.items() if text is not None},
        "ownerReferences": [made_by],
    }
    ready = {"type": "Ready", "status": "True" if pod.ready else "False"}
    return {"metadata": meta | version, "status": {"phase": pod.phase, "podIP": pod.ip, "conditions": [ready]}}


def merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return patch
    rest = {k: v for k, v in (old if isinstance(old, Mapping) else {}).items() if k not in patch}
    return rest | {k: merged((old or {}).get(k), v) for k, v in patch.items() if v is not None}


class Found:
    """Every source turns out to be the same file, unless a test says otherwise of an adapter, by its key."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.paused: list[str] = []

    def known(self, adapter: Adapter) -> Outcome:
        return self.outcomes.get(adapter.key, _FOUND)

    def resolve(self, adapter: Adapter) -> None: ...

    def pause(self, uid: str) -> None:
        self.paused.append(uid)

    def forget(self, uid: str) -> None: ...

    def close(self) -> None: ...


_FOUND = Resolution(facts=None)


class Looked:
    """What became of looking up the base, as a test sets it."""

    def __init__(self) -> None:
        self.result = NOTHING_TO_RESOLVE

    def known(self, pool: Pool) -> BaseResolution:
        return self.result

    def resolve(self, pool: Pool) -> None: ...

    def forget(self, uid: str) -> None: ...

    def close(self) -> None: ...


class Scaler:
    """As many pods as the spec says, unless a test sets another number for a pool, by its key."""

    def __init__(self) -> None:
        self.decided: dict[str, int] = {}
        self.busy: dict[str, int] = {}
        self.trouble: Verdict | None = None

    async def run(self) -> None: ...

    def replicas(self, pool: Pool, deployment: DeploymentView | None) -> int:
        return self.decided.get(pool.key, pool.spec.replicas)

    def requests(self, pods: tuple[str, ...]) -> Mapping[str, int]:
        return {uid: count for uid, count in self.busy.items() if uid in pods}

    def problem(self, pool: Pool) -> Verdict | None:
        return self.trouble


class Told:
    """The events, kept."""

    def __init__(self) -> None:
        self.drafts: list[EventDraft] = []

    def record(self, draft: EventDraft) -> None:
        self.drafts.append(draft)

    async def run(self) -> None: ...


@dataclass
class Bench:
    """A context, and what a test does with it."""

    clock: Clock = field(default_factory=Clock)
    told: Told = field(default_factory=Told)
    looked: Looked = field(default_factory=Looked)
    pods: FakePods = field(default_factory=FakePods)
    found: Found = field(default_factory=Found)
    secrets: Secrets = field(default_factory=Secrets)
    scaler: Scaler = field(default_factory=Scaler)

    def __post_init__(self) -> None:
        self.woken: list[str] = []
        self.listeners: list[Callable[[str], None]] = [self.woken.append]
        self.set_ahead = timedelta()
        self.cache = ObjectCache(self._changed)
        self.api = ApiServer(self.cache)
        self.context = Context(
            settings=Settings(namespace="default", identity="test"),
            keys=InstallationKeys((b"k" * 32,)),
            cache=self.cache,
            kube=self.api,
            control=self.pods,
            resolver=self.found,
            bases=self.looked,
            secrets=self.secrets,
            scaler=self.scaler,
            recorder=self.told,
            metrics=Metrics(),
            handovers=Handovers(self.cache),
            pushes=asyncio.Semaphore(8),
            now=self.now,
            clock=self.clock,
        )

    def _changed(self, pool: str) -> None:
        for listener in self.listeners:
            listener(pool)

    async def settle(self, passes: Reconciler) -> PassResult:
        """Passes until one writes nothing; what the last one came to."""
        for _ in range(10):
            before = len(self.api.writes)
            done = await passes.run()
            if len(self.api.writes) == before:
                return done
        raise AssertionError("passes write without end")

    def now(self) -> datetime:
        return make.EPOCH + timedelta(seconds=self.clock()) + self.set_ahead

    def put(self, *objects: Pool | Adapter) -> None:
        """As a watch brings them."""
        for item in objects:
            if isinstance(item, Pool):
                self.cache.wake(self.cache.pools.put(item.key, item))
            else:
                self.cache.wake(self.cache.adapters.put(item.key, item))

    def put_pod(self, pod: PodView, deployment: str = "uid-shapes-runtime", revision: int = 1) -> None:
        """A pod of a ReplicaSet of that Deployment; each revision has one of its own."""
        replica_set = f"uid-rs-{deployment}-{revision}"
        view = ReplicaSetView("rs", pod.namespace, replica_set, pod.pool, deployment, revision=revision)
        self.cache.wake(self.cache.replica_sets.put(f"{pod.namespace}/{replica_set}", view))
        self.cache.wake(self.cache.pods.put(pod.key, replace(pod, replica_set=replica_set)))
