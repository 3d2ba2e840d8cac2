"""The objects of a pool in the API server: applied when they differ from what was applied, or drifted since."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Resource, resource_of
from lorapool_operator.metrics import Metrics
from lorapool_operator.seen.parse import standing_of
from lorapool_operator.seen.views import Standing

log = structlog.get_logger(__name__)

Manifest = dict[str, Any]
# Between two refreshes.
PUT_BACK_AT_MOST: Final = 10


class AppliesObjects(Protocol):
    """The API server. Raises: ApiError."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Apply it; the object as it is then."""

    async def look(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """The metadata of an object; None: there is none."""


@dataclass(frozen=True)
class _Applied:
    digest: str
    standing: Standing


class Objects:
    """Remembers what was applied for one pool.

    All of them are watched. One is applied anew when it went, or when somebody changed it after our own apply; while
    nothing happens, nothing is.

    Only what the pool controls is ever written to. An object of the same name that it does not is left as it is: to
    apply over it would take it away from whoever made it, and garbage collection would delete it with the pool.

    Where somebody else changes an object again and again, it is put back ten times, and then with the next refresh.
    """

    def __init__(self, api: AppliesObjects, metrics: Metrics, on_written: Callable[[Manifest], None]) -> None:
        """`on_written` is told what each write came to."""
        self._api = api
        self._metrics = metrics
        self._on_written = on_written
        self._applied: dict[str, _Applied] = {}
        self._put_back: Counter[str] = Counter()

    def refresh(self) -> None:
        """Have the next pass put back again what it left as somebody changes it without end."""
        self._put_back.clear()

    def forget(self) -> None:
        """The pool is gone, and its objects with it."""
        self._applied.clear()
        self._put_back.clear()

    async def apply(self, manifests: Sequence[Manifest], owner: str, standing: Mapping[str, Standing]) -> None:
        """Apply in the given order: what pods need comes before the Deployment.

        Args:
            owner: uid of the pool.
            standing: what the watches tell of.

        Raises:
            ApiError: `AlreadyExists` for an object that the pool does not control.
        """
        for manifest in manifests:
            name, digest = object_name(manifest), manifest_hash(manifest)
            if self._is_as_applied(manifest, digest, owner, standing.get(name)):
                continue
            is_drift = self._is_drift(name, digest)
            if is_drift and self._put_back[name] >= PUT_BACK_AT_MOST:
                continue
            await self._write(manifest, digest, owner, standing.get(name))
            if is_drift:
                self._count(name)

    def _is_as_applied(self, manifest: Manifest, digest: str, owner: str, now: Standing | None) -> bool:
        applied = self._applied.get(object_name(manifest))
        if applied is None or applied.digest != digest:
            return False
        if now is None or not manifest["metadata"]["labels"].items() <= now.labels.items():
            return False  # deleted, or a label was taken away
        # A view that is older than our own apply says nothing about drift.
        return (now.uid, now.owner) == (applied.standing.uid, owner) and now.mark <= applied.standing.mark

    def _is_drift(self, name: str, digest: str) -> bool:
        """Whether what is not as it was applied shall be what it was then."""
        applied = self._applied.get(name)
        return applied is not None and applied.digest == digest

    def _count(self, name: str) -> None:
        self._put_back[name] += 1
        if self._put_back[name] == PUT_BACK_AT_MOST:
            log.warning("somebody changes an object again and again", object=name, put_back=PUT_BACK_AT_MOST)

    async def _write(self, manifest: Manifest, digest: str, owner: str, now: Standing | None) -> None:
        name = object_name(manifest)
        uid = await self._own_uid(manifest, owner, now)
        # With a uid the API server writes to that object or to none.
        meta = manifest["metadata"] | ({} if uid is None else {"uid": uid})
        try:
            written = await self._api.apply(manifest | {"metadata": meta})
        except ApiError as error:
            if error.is_conflict:
                self._applied.pop(name, None)  # it is another object now: look again
            raise
        self._metrics.writes.labels("apply").inc()
        applied = _Applied(digest, standing_of(written["metadata"]))
        self._log(name, meta["namespace"], self._applied.get(name), applied, now)
        self._applied[name] = applied
        self._on_written(written)

    def _log(self, name: str, namespace: str, before: _Applied | None, after: _Applied, now: Standing | None) -> None:
        """Nothing of an object that is as it was."""
        known = now if before is None or now is not None else before.standing
        if known is not None and (known.uid, known.mark) == (after.standing.uid, after.standing.mark):
            return
        why = "made" if known is None else "changed" if before is None or before.digest != after.digest else "put back"
        log.info("object applied", object=name, namespace=namespace, why=why)

    async def _own_uid(self, manifest: Manifest, owner: str, now: Standing | None) -> str | None:
        """uid of the object, where there is one. Raises: ApiError, where the pool does not control it."""
        applied = self._applied.get(object_name(manifest))
        known = None if applied is None else applied.standing.uid
        if now is None:
            now = await self._look(manifest)
        if now is None:
            return None
        if now.uid != known and now.owner != owner:
            self._applied.pop(object_name(manifest), None)
            raise _not_ours(manifest)
        return now.uid

    async def _look(self, manifest: Manifest) -> Standing | None:
        """An object that no watch tells of."""
        meta = manifest["metadata"]
        found = await self._api.look(resource_of(manifest), meta["namespace"], meta["name"])
        return None if found is None else standing_of(found)


def _not_ours(manifest: Manifest) -> ApiError:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return ApiError(409, "AlreadyExists", f"{kind} {name} is there already and is not the pool's")


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]


def object_name(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
