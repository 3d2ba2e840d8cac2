"""The other pods of the pool: whose turn it is to ask a source, and who has the file already.

All pods order themselves alike for an adapter (`lorapool_api.rules.rendezvous`). The first one that answers asks the
source; the others wait for it and take the file from there. When the first ones are gone, the next one asks.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import structlog
from pydantic import ValidationError

from lorapool_api.kinds.conditions import Reason, Subject
from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import FOUND_MAX_BYTES, Assignment, FileFound, FileQuery
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_common.backoff import Backoff
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_common.http.tls import trusted
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected
from lorapool_runtime.sources.pods import transfer

log = structlog.get_logger(__name__)

POLL_S: Final = 30.0
_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 10.0
# The operator tells the pods one after the other: one that does not know of an entry yet soon will.
_UNKNOWN_S: Final = 20.0
# One that waits for another pod itself may wait for this one: their lists of pods differ for a moment.
_WAITING_S: Final = 5.0
_ASK_AGAIN_S: Final = (0.25, 2.0)
# Questions to one pod at a time: with a thousand adapters to bring it has other things to do than to answer.
_AT_ONCE: Final = 32
# Who did not answer is not asked for each of a thousand adapters.
_AWAY_S: Final = 10.0
_LONGEST_S: Final = 1800.0


@dataclass(frozen=True)
class PeerFile:
    """A file that another pod has.

    Attributes:
        found: what it is.
        hosts: `host:port` of pods to fetch it from: the one that has it, then those that may.
    """

    found: FileFound
    hosts: tuple[str, ...]
    token: str = field(repr=False)

    @property
    def sidecars(self) -> Sidecars:
        """What lies beside it."""
        return Sidecars(self.found.peft_config, self.found.embeddings)

    def fetch(self, target: Path, expected: Expected, cancelled: Callable[[], bool]) -> str:
        """Download it to `target` and return its sha256. Blocking. Raises: AdapterError."""
        wanted = replace(expected, sha256=self.found.sha256)
        transfer.fetch(self.hosts, self.token, target, wanted, cancelled)
        return self.found.sha256


class _NotHere(Exception):
    """The pod cannot help."""


class _NotYet(Exception):
    """The pod does not know of the entry, or waits for another pod itself.

    Attributes:
        within_s: how long that is worth asking again.
    """

    def __init__(self, message: str, within_s: float) -> None:
        super().__init__(message)
        self.within_s = within_s


class Peers:
    """Lives on the event loop."""

    def __init__(self, token: Callable[[], str], clock: Callable[[], float] | None = None) -> None:
        """`token` reads the pool's control token, which the pods know each other by."""
        self._token = token
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._assignment = Assignment.of("", {}, ())
        self._nodes = Nodes({})
        self._away_until: dict[str, float] = {}
        self._waiting: Counter[str] = Counter()
        self._asking: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        # Never through a proxy: they are in the cluster.
        timeout = httpx.Timeout(POLL_S + _ANSWER_S, connect=_CONNECT_S)
        verify = trusted(trust_env=False)
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False, verify=verify)

    async def close(self) -> None:
        await self._client.aclose()

    def follow(self, assignment: Assignment) -> None:
        """From now on these are the pods."""
        self._assignment = assignment
        self._nodes = Nodes(dict.fromkeys(assignment.peers, 1.0))
        self._away_until.clear()
        for host in self._asking.keys() - set(assignment.peers.values()):
            del self._asking[host]

    async def find(self, entry: CatalogEntry) -> PeerFile | None:
        """Where the entry's file is among the pods, as soon as it is there; None: it is this pod's turn to ask.

        Raises:
            AdapterError: what the pod whose turn it was found out about the source or the file.
        """
        self._waiting[entry.key] += 1
        try:
            return await self._find(entry)
        finally:
            self._waiting[entry.key] -= 1
            if not self._waiting[entry.key]:
                del self._waiting[entry.key]

    def is_waiting(self, key: str) -> bool:
        """Whether this pod itself waits for another to have the adapter's file."""
        return key in self._waiting

    async def _find(self, entry: CatalogEntry) -> PeerFile | None:
        me, peers, order = self._assignment.name, self._assignment.peers, self._nodes.ranked(entry.key)
        for name in order:
            if name == me:
                return None
            if self._away_until.get(name, 0.0) > self._clock():
                continue
            try:
                found = await self._ask(peers[name], entry)
            except _NotHere as error:
                log.info("a pod cannot give a file", peer=name, adapter=entry.key, error=str(error))
                continue
            except (httpx.HTTPError, OSError) as error:
                log.info("a pod does not answer", peer=name, error=type(error).__name__)
                self._away_until[name] = self._clock() + _AWAY_S
                continue
            others = (peers[other] for other in order if other not in (name, me))
            return PeerFile(found, (peers[name], *others), self._token())
        return None

    async def _ask(self, host: str, entry: CatalogEntry) -> FileFound:
        query = FileQuery.of(entry).model_dump_json()
        begin, backoff = self._clock(), Backoff(*_ASK_AGAIN_S)
        while self._clock() - begin < _LONGEST_S:
            try:
                # In all, and not from byte to byte: a pod that drips them is left.
                async with self._asking[host], asyncio.timeout(POLL_S + _ANSWER_S):
                    found = await self._once(host, query)
            except _NotYet as error:
                if self._clock() - begin > error.within_s:
                    raise _NotHere(str(error)) from error
                await asyncio.sleep(backoff.next())
                continue
            if found is not None:
                return found
        raise _NotHere(f"it was not there within {_LONGEST_S:.0f} s")

    async def _once(self, host: str, query: str) -> FileFound | None:
        """What the pod says; None: it is on its way there. Raises: _NotHere, _NotYet, AdapterError, httpx.HTTPError."""
        headers = {"authorization": f"Bearer {self._token()}", "content-type": "application/json"}
        url = f"http://{host}/v1/files?wait={POLL_S:.0f}"
        async with self._client.stream("POST", url, content=query, headers=headers) as answer:
            try:
                body = await read_at_most(answer.aiter_raw(), FOUND_MAX_BYTES)
            except TooLarge as error:
                raise _NotHere(str(error)) from error
        try:
            if answer.status_code == HTTPStatus.OK:
                return FileFound.model_validate_json(body)
            reply = ErrorReply.model_validate_json(body)
        except ValidationError as error:
            raise _NotHere(f"an answer of status {answer.status_code} that is not understood") from error
        _judge(reply)
        return None


def _judge(reply: ErrorReply) -> None:
    """Return where the file is on its way. Raises: _NotHere, _NotYet, AdapterError."""
    match reply.code, reply.reason:
        case ErrorCode.ADAPTER_NOT_READY, _:
            return
        case ErrorCode.UNKNOWN_ADAPTER, _:
            raise _NotYet(reply.message, _UNKNOWN_S)
        case ErrorCode.NOT_READY, _:
            raise _NotYet(reply.message, _WAITING_S)
        case ErrorCode.ADAPTER_FAILED, Reason() as reason if reason.traits.subject in (Subject.SOURCE, Subject.FIT):
            raise AdapterError(reason, reply.message, transient=reply.retryable)
    raise _NotHere(f"{reply.code}: {reply.message}")
