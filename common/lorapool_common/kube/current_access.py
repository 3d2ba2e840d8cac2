"""Credentials that are renewed while a process runs."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.errors import AccessError

Reload = Callable[[], Awaitable[ClusterAccess]]


class CurrentAccess:
    """The access that a client uses, read anew when it is old and when it is refused.

    Args:
        reload: reads it anew; raises AccessError, and the access stays as it is.
        clock: seconds.
    """

    def __init__(
        self, access: ClusterAccess, reload: Reload | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises: AccessError, where a certificate or key cannot be read."""
        self.tls = access.tls()
        self._access = access
        self._reload = reload
        self._clock = clock
        self._read_at = clock()
        self._reading = asyncio.Lock()

    async def current(self) -> ClusterAccess:
        """The access to be used now."""
        if self._is_old():
            async with self._reading:
                if self._is_old():
                    await self._read()
        return self._access

    async def renewed(self, refused: ClusterAccess) -> ClusterAccess | None:
        """Another access than the refused one, read once for all requests that it was refused to; None: no other."""
        async with self._reading:
            if self._access == refused:
                await self._read()
            return self._access if self._access != refused else None

    def _is_old(self) -> bool:
        fresh_s = self._access.fresh_s
        return self._reload is not None and fresh_s is not None and self._clock() - self._read_at >= fresh_s

    async def _read(self) -> None:
        if self._reload is None:
            return
        self._read_at = self._clock()
        with contextlib.suppress(AccessError):  # the API server says it, if it matters
            found = await self._reload()
            self._access, self.tls = found, self.tls if found == self._access else found.tls()
