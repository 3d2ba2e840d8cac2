"""Credentials to one pod: read when it says that it waits for them, and sent to it alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from lorapool_api.wire.credentials import CredentialsDelivery, CredentialsGrant
from lorapool_api.wire.state import PodState
from lorapool_common.backoff import Backoff
from lorapool_operator.pods.control import ControlError

log = structlog.get_logger(__name__)

# Between two deliveries to a pod, whatever it says in between.
_PAUSE_S: Final = 0.5

# What there is for these adapters, of those whose credentials the pods of the pool may have.
ReadGrants = Callable[[frozenset[str]], Awaitable[Mapping[str, CredentialsGrant]]]
SendCredentials = Callable[[CredentialsDelivery], Awaitable[PodState]]


class CredentialsSender:
    """What one pod waits for. Lives on the event loop."""

    def __init__(self, pod: str, read: ReadGrants, send: SendCredentials) -> None:
        self._pod = pod
        self._read = read
        self._send = send
        self._awaited: frozenset[str] = frozenset()
        self._notified = asyncio.Event()

    def set_awaited(self, keys: frozenset[str]) -> None:
        """The pod waits for the credentials of these adapters."""
        self._awaited = keys
        if keys:
            self._notified.set()

    async def run(self) -> None:
        """Send for ever."""
        backoff = Backoff(1.0, 30.0)
        while True:
            await self._notified.wait()
            self._notified.clear()
            grants = await self._read(self._awaited) if self._awaited else {}
            if not grants:
                continue
            try:
                await self._send(CredentialsDelivery(grants=dict(grants)))
            except ControlError as error:
                log.info("a pod did not take credentials", pod=self._pod, error=str(error))
                self._notified.set()
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            await asyncio.sleep(_PAUSE_S)
