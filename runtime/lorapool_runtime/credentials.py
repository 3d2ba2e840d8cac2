"""Credentials of sources in this pod: asked for when a source has to be asked, passed on, and kept nowhere."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import (
    MOST_AWAITED,
    Credentials,
    CredentialsDelivery,
    CredentialsGrant,
    CredentialsRef,
)
from lorapool_runtime.errors import AdapterError

# The operator brings them within a second. Without one nobody does: requests are told, and it is tried again later.
WAIT_S: Final = 20.0

_Waiting = defaultdict[tuple[str, CredentialsRef], list[asyncio.Future[CredentialsGrant]]]


class CredentialsNeeded(Exception):
    """The source has to be asked, and only somebody with credentials may."""


class CredentialsDesk:
    """Says what this pod waits for, and hands on what comes. Lives on the event loop.

    A value is held by whoever waits for it, for the length of one download.
    """

    def __init__(self, on_changed: Callable[[], object], wait_s: float = WAIT_S) -> None:
        """`on_changed` is called when `awaited` is another than before."""
        self._on_changed = on_changed
        self._wait_s = wait_s
        self._waiting: _Waiting = defaultdict(list)
        self._turns = asyncio.Semaphore(MOST_AWAITED)

    @property
    def awaited(self) -> frozenset[str]:
        """Keys of adapters whose credentials are waited for."""
        return frozenset(key for key, _ in self._waiting)

    async def get(self, key: str, ref: CredentialsRef) -> Credentials:
        """The credentials of that adapter, as soon as the operator brings them.

        Raises:
            AdapterError: it does not, or says why not; passing in each case, for somebody else puts it right.
        """
        async with self._turns:
            grant = await self._next(key, ref)
        if grant.reason is not None or not grant.values:
            reason = grant.reason if isinstance(grant.reason, Reason) else Reason.SECRET_FORBIDDEN
            raise AdapterError(reason, grant.message or "the operator gives no credentials", transient=True)
        return grant.values

    def deliver(self, delivery: CredentialsDelivery) -> None:
        """Pass on what somebody waits for; the rest is forgotten."""
        for key, grant in delivery.grants.items():
            for waiter in self._waiting.pop((key, grant.ref), ()):
                if not waiter.done():
                    waiter.set_result(grant)
        self._on_changed()

    async def _next(self, key: str, ref: CredentialsRef) -> CredentialsGrant:
        waiter: asyncio.Future[CredentialsGrant] = asyncio.get_running_loop().create_future()
        self._waiting[key, ref].append(waiter)
        self._on_changed()
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiter
        except TimeoutError:
            message = f"the operator has not brought the credentials within {self._wait_s:.0f} s"
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, message) from None
        finally:
            self._leave((key, ref), waiter)

    def _leave(self, at: tuple[str, CredentialsRef], waiter: asyncio.Future[CredentialsGrant]) -> None:
        waiters = self._waiting.get(at)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[at]
            self._on_changed()
