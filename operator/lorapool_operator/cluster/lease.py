"""Leader election by a Lease: one replica acts, the others watch and wait.

The times are about those of client-go: a Lease lasts 15 s, its holder gives up after 10 s without renewal. These count
from before the call that renewed it: its answer may be late, and others see what was written, not when we learn of it.
Clocks are not compared: a Lease is over when nobody changed it for its duration, by the observer's own clock.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import LEASES, Resource

log = structlog.get_logger(__name__)

Lease = dict[str, Any]


@dataclass(frozen=True)
class Times:
    """In seconds. `retry_s` is below 2, so that a released Lease is taken over within 2 s."""

    lease_s: int = 15
    renew_within_s: float = 10.0
    retry_s: float = 1.5


DEFAULT_TIMES: Final = Times()


class LeaseApi(Protocol):
    """The API server, as elections use it. Raises: ApiError."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Lease: ...

    async def create(self, resource: Resource, namespace: str | None, body: Lease) -> Lease: ...

    async def replace(self, resource: Resource, namespace: str | None, name: str, body: Lease) -> Lease: ...


class Election:
    """Takes, keeps and releases the Lease. `clock`: seconds that never go back."""

    def __init__(
        self,
        kube: LeaseApi,
        namespace: str,
        name: str,
        identity: str,
        times: Times = DEFAULT_TIMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)
        self._holder: str | None = None
        self._logged: tuple[str, int] | None = None
        self._renewed = 0.0
        self.is_leader = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """For ever: win the Lease, run `lead` while it is ours, cancel it at once when it is not.

        Cancelling this cancels `lead` first and releases the Lease after, so that two never act.
        """
        while True:
            try:
                await self._win()
            except asyncio.CancelledError:
                # The API server may have granted the Lease, and only its answer not have come.
                await self._give_back()
                raise
            log.info("this replica leads", identity=self._identity)
            await self._lead_while_ours(lead)

    async def _lead_while_ours(self, lead: Callable[[], Awaitable[None]]) -> None:
        work = asyncio.ensure_future(lead())
        keep = asyncio.ensure_future(self._keep())
        self.is_leader = True
        try:
            await asyncio.wait((work, keep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_leader = False
            keep.cancel()
            work.cancel()
            await asyncio.gather(work, keep, return_exceptions=True)
            await self._give_back()
        if not work.cancelled() and (failure := work.exception()) is not None:
            raise failure
        log.warning("this replica leads no more", identity=self._identity)

    async def _win(self) -> None:
        while not (await self._try() and self._left_s > 0):  # noqa: ASYNC110 -- no event tells of the Lease
            await asyncio.sleep(self._times.retry_s)

    async def _keep(self) -> None:
        """Renew until that fails for too long, or another holds the Lease."""
        while self._left_s > 0:
            await asyncio.sleep(min(self._times.retry_s, self._left_s))
            # An API server that hangs must not keep us leading: the deadline holds for the call too.
            try:
                async with asyncio.timeout(self._left_s):
                    await self._try()
            except TimeoutError:
                return
            if self._held_by_another():
                return

    @property
    def _left_s(self) -> float:
        """For how long it is surely ours without another renewal; not above 0: it may be another's."""
        return self._times.renew_within_s - (self._clock() - self._renewed)

    async def _try(self) -> bool:
        """Create, take over or renew the Lease; whether it is ours now."""
        began = self._clock()
        is_held = await self._try_to_hold()
        if is_held:
            self._renewed = began
        return is_held

    async def _try_to_hold(self) -> bool:
        try:
            lease = await self._kube.get(LEASES, self._namespace, self._name)
        except ApiError as error:
            return await self._write(None) if error.is_gone else self._tell("read", error)
        self._observe(lease)
        holder = lease.get("spec", {}).get("holderIdentity")
        if holder and holder != self._identity and not self._is_over(lease):
            return False
        return await self._write(lease)

    def _observe(self, lease: Lease) -> None:
        self._holder = lease.get("spec", {}).get("holderIdentity")
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())

    def _held_by_another(self) -> bool:
        return bool(self._holder) and self._holder != self._identity

    def _is_over(self, lease: Lease) -> bool:
        lasts = lease.get("spec", {}).get("leaseDurationSeconds") or self._times.lease_s
        return self._clock() - self._seen[1] > lasts

    async def _write(self, lease: Lease | None) -> bool:
        """One try; a conflict means that another was faster."""
        body = self._body(lease, self._identity)
        try:
            if lease is None:
                written = await self._kube.create(LEASES, self._namespace, body)
            else:
                written = await self._kube.replace(LEASES, self._namespace, self._name, body)
        except ApiError as error:
            return False if error.is_conflict else self._tell("written", error)
        self._observe(written)
        self._logged = None
        return True

    def _tell(self, what: str, error: ApiError) -> bool:
        """Log trouble once, not at every try; always False, because the Lease is not held."""
        if self._logged != (what, error.status):
            self._logged = (what, error.status)
            log.warning(f"the Lease cannot be {what}", status=error.status, error=error.message)
        return False

    def _body(self, lease: Lease | None, holder: str) -> Lease:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = dict((lease or {}).get("spec") or {})
        if spec.get("holderIdentity") != holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + bool(holder)}
        spec |= {
            "holderIdentity": holder,
            "leaseDurationSeconds": self._times.lease_s if holder else 1,
            "renewTime": now,
        }
        metadata = lease["metadata"] if lease else {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _give_back(self) -> None:
        """Release the Lease, also when this task is cancelled meanwhile: the connection is closed after it."""
        releasing = asyncio.create_task(self._release())
        try:
            await asyncio.shield(releasing)
        except asyncio.CancelledError:
            await releasing
            raise

    async def _release(self) -> None:
        """Another need not wait until the Lease is over."""
        try:
            async with asyncio.timeout(2.0):
                lease = await self._kube.get(LEASES, self._namespace, self._name)
                if lease.get("spec", {}).get("holderIdentity") == self._identity:
                    await self._kube.replace(LEASES, self._namespace, self._name, self._body(lease, ""))
        except (ApiError, TimeoutError) as error:
            log.info("the Lease could not be released; it ends by itself", error=str(error))
