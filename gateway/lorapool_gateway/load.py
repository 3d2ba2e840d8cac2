"""What the pods last said of themselves, and what this gateway has asked of them since."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import structlog
from pydantic import ValidationError

from lorapool_api.wire.state import ServingStatus
from lorapool_gateway.directory import Directory, Signal
from lorapool_gateway.route import PodLoad
from lorapool_gateway.snapshot import Pod

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
POLL_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class _Word:
    """A pod's last word, and how many requests from here it had then."""

    status: ServingStatus
    in_flight: int


class Loads:
    """The load of each pod. A pod that is lost or has not spoken yet takes no requests."""

    def __init__(self, changed: Signal) -> None:
        self.changed = changed
        self._words: dict[str, _Word] = {}
        self._in_flight: defaultdict[str, int] = defaultdict(int)

    def of(self, pod: Pod) -> PodLoad | None:
        """The pod's load, or None while it takes no requests."""
        word = self._words.get(pod.uid)
        if word is None or not word.status.ready:
            return None
        since = self._in_flight[pod.uid] - word.in_flight
        queue = max(self._in_flight[pod.uid], word.status.pending + word.status.running + since)
        is_full = word.status.pending + max(0, since) >= word.status.max_pending
        return PodLoad(pod, word.status.tiers, queue, is_full)

    def heard(self, pod: Pod, status: ServingStatus) -> None:
        """Take a pod's word."""
        before = self._words.get(pod.uid)
        self._words[pod.uid] = _Word(status, self._in_flight[pod.uid])
        if before is None or (before.status.ready, before.status.tiers) != (status.ready, status.tiers):
            self.changed.fire()

    def lost(self, pod: Pod) -> None:
        """The pod does not answer: it takes no requests until it speaks again."""
        self._words.pop(pod.uid, None)

    @contextmanager
    def request(self, pod: Pod) -> Iterator[None]:
        """Count a request to the pod while it lasts."""
        self._in_flight[pod.uid] += 1
        try:
            yield
        finally:
            self._in_flight[pod.uid] -= 1
            if not self._in_flight[pod.uid]:
                del self._in_flight[pod.uid]


class Poller:
    """Asks every pod of the directory for its status once a second, and at once when poked."""

    def __init__(self, directory: Directory, loads: Loads, http: httpx.AsyncClient) -> None:
        self._directory = directory
        self._loads = loads
        self._http = http
        self._tasks: dict[str, tuple[Pod, asyncio.Task[None]]] = {}
        self._pokes: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Follow the directory: one task for each pod that it knows."""
        async with asyncio.TaskGroup() as group:
            while True:
                changed = self._directory.changed.next()
                self._match(group)
                await changed.wait()

    def poke(self, pod: Pod) -> None:
        """Ask this pod again now: it has just answered a request, so its word is old."""
        if pod.uid in self._pokes:
            self._pokes[pod.uid].set()

    def _match(self, group: asyncio.TaskGroup) -> None:
        pods = self._directory.snapshot().pods
        for uid, (pod, task) in list(self._tasks.items()):
            if pods.get(uid) != pod:
                task.cancel()
                self._loads.lost(pod)
                del self._tasks[uid], self._pokes[uid]
        for uid, pod in pods.items():
            if uid not in self._tasks:
                self._pokes[uid] = asyncio.Event()
                self._tasks[uid] = pod, group.create_task(self._follow(pod, self._pokes[uid]), name=f"poll {pod.name}")

    async def _follow(self, pod: Pod, poke: asyncio.Event) -> None:
        while True:
            poke.clear()
            await self._ask(pod)
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await poke.wait()
            except TimeoutError:
                continue

    async def _ask(self, pod: Pod) -> None:
        try:
            reply = await self._http.get(f"{pod.url}/v1/status", timeout=POLL_TIMEOUT_S)
            self._loads.heard(pod, ServingStatus.model_validate_json(reply.raise_for_status().content))
        except (httpx.HTTPError, ValidationError) as problem:
            log.debug("pod does not answer", pod=pod.name, problem=str(problem))
            self._loads.lost(pod)
