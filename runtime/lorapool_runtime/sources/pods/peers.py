"""The other pods of the pool: whose turn it is to ask a source, and who has the file already.

All pods order themselves alike for an adapter (`lorapool_api.rules.rendezvous`). The first one that answers asks the
source; the others wait for it and take the file from there. When the first ones are gone, the next one asks.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from weakref import WeakSet

import aiohttp
import structlog

from lorapool_api.names import adapter_of
from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment, FileFound, FileQuery
from lorapool_common.backoff import Backoff
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.pods.peer_file import PeerFile
from lorapool_runtime.sources.pods.questions import ANSWER_S, POLL_S, NotHere, NotYet, Questions

log = structlog.get_logger(__name__)

_ASK_AGAIN_S: Final = (0.25, 2.0)
# Questions to one pod at a time: with a thousand adapters to bring it has other things to do than to answer.
_AT_ONCE: Final = 32
# Who did not answer is not asked for each of a thousand adapters.
_AWAY_S: Final = 10.0
_LONGEST_S: Final = 1800.0
# Before it is known whether such questions are in vain: hundreds at once would hold up whoever is asked.
_BEFORE_AT_ONCE: Final = 8
# Who has nothing of what this pod is to ask its source for has most likely nothing of the next either.
_MOST_VAIN: Final = 3
_VAIN_S: Final = 10.0
# Files in memory that came with answers, and wait to be written: 32 MiB. What comes beyond that is fetched later.
_MOST_CARRIED: Final = 256


class Vain:
    """Vain questions in a row: after some, none is worth asking for a while."""

    def __init__(self) -> None:
        self._count = 0
        self._until_s = 0.0

    def is_over(self, now_s: float) -> bool:
        """Whether none should be asked now."""
        return now_s < self._until_s

    def note(self, now_s: float, *, is_vain: bool) -> None:
        """What came of one."""
        self._count = self._count + 1 if is_vain else 0
        if self._count >= _MOST_VAIN:
            self._count, self._until_s = 0, now_s + _VAIN_S


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
        self._carried: WeakSet[PeerFile] = WeakSet()
        self._questions = Questions(token)
        self._vain = Vain()
        self._before = asyncio.Semaphore(_BEFORE_AT_ONCE)

    async def close(self) -> None:
        await self._questions.close()

    def follow(self, assignment: Assignment) -> None:
        """From now on these are the pods."""
        self._assignment = assignment
        self._nodes = Nodes(dict.fromkeys(assignment.peers, 1.0))
        self._away_until.clear()
        for host in self._asking.keys() - set(assignment.peers.values()):
            del self._asking[host]

    def is_own(self, key: str) -> bool:
        """Whether this pod is the first of all to ask the source of the adapter of that key."""
        first = self._nodes.ranked(adapter_of(key), 1)
        return not first or first[0] == self._assignment.name

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
        me, peers = self._assignment.name, self._assignment.peers
        order = self._nodes.ranked(adapter_of(entry.key))  # all versions of an adapter lie in the same pods
        for name in order:
            if name == me:
                return await self._before_the_source(entry, order)
            if self._away_until.get(name, 0.0) > self._clock():
                continue
            try:
                found, content = await self._ask(peers[name], entry)
            except NotHere as error:
                log.info("a pod cannot give a file", peer=name, adapter=entry.key, error=str(error))
                continue
            except (aiohttp.ClientError, OSError) as error:
                log.info("a pod does not answer", peer=name, error=type(error).__name__)
                self._away_until[name] = self._clock() + _AWAY_S
                continue
            others = (peers[other] for other in order if other not in (name, me))
            return self._noted(PeerFile(found, (peers[name], *others), self._token(), content))
        return None

    async def _before_the_source(self, entry: CatalogEntry, order: list[str]) -> PeerFile | None:
        """It is this pod's turn; but it may have come after the others, and have taken the turn of the next one.

        In a pool that is new to all its adapters that is not so: after a few vain questions none is asked for a while.
        """
        me, peers = self._assignment.name, self._assignment.peers
        after = order[order.index(me) + 1 :]
        async with self._before:
            if not after or self._away_until.get(after[0], 0.0) > self._clock() or self._vain.is_over(self._clock()):
                return None
            answer = await self._has_now(peers[after[0]], entry)
            self._vain.note(self._clock(), is_vain=answer is None)
        if answer is None:
            return None
        return self._noted(PeerFile(answer[0], tuple(peers[name] for name in after), self._token(), answer[1]))

    async def _has_now(self, host: str, entry: CatalogEntry) -> tuple[FileFound, bytes | None] | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._questions.ask(host, FileQuery.of(entry).model_dump_json(), now=True)
        except (NotHere, NotYet, AdapterError, aiohttp.ClientError, OSError):
            return None

    def _noted(self, file: PeerFile) -> PeerFile:
        """The file, without its content where too many of them wait in memory already."""
        if file.content is None:
            return file
        if len(self._carried) >= _MOST_CARRIED:
            return replace(file, content=None)
        self._carried.add(file)
        return file

    async def _ask(self, host: str, entry: CatalogEntry) -> tuple[FileFound, bytes | None]:
        query = FileQuery.of(entry).model_dump_json()
        begin, backoff = self._clock(), Backoff(*_ASK_AGAIN_S)
        while self._clock() - begin < _LONGEST_S:
            try:
                # In all, and not from byte to byte: a pod that drips them is left.
                async with self._asking[host], asyncio.timeout(POLL_S + ANSWER_S):
                    found = await self._questions.ask(host, query)
            except NotYet as error:
                if self._clock() - begin > error.within_s:
                    raise NotHere(str(error)) from error
                await asyncio.sleep(backoff.next())
                continue
            if found is not None:
                return found
        raise NotHere(f"it was not there within {_LONGEST_S:.0f} s")
