"""A queue with an engine and a disk that do what a test lets them."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.modules import file_layout
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.host.readers import Readers
from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.contract import Recipe, RenderRequest, Step, Stop
from lorapool_runtime.engine.result import Rendering, Result
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import RequestError, Stopped
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.queue.policy import DEFAULT_RULES, QueueRules


@dataclass
class ScriptedEngine:
    """Renders when the test lets it; what it was asked for is written down."""

    gate: threading.Event = field(default_factory=threading.Event)
    errors: dict[str, Exception] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    rows: int = 1
    switch_s: float = 0
    mixing: bool = False
    losses: dict[str, float | None] = field(default_factory=dict)
    ahead: list[str] = field(default_factory=list)
    checks: int = 0
    measuring: threading.Event = field(default_factory=threading.Event)
    broken: Exception | None = None
    falling_asleep: threading.Event = field(default_factory=threading.Event)
    sleepless: Exception | None = None
    wakeless: Exception | None = None
    compiled: CompileFigures | None = None

    def batch(self, recipe: Recipe) -> int:
        return self.rows

    def mixes(self, adapter: HostAdapter) -> bool:
        return self.mixing

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        self.threads.add(threading.get_ident())
        prompts = [request.recipe.prompt for request in requests]
        self.served.append("+".join(prompts))
        while not self.gate.wait(0.005):
            if all(request.stop() for request in requests):
                return [Stopped() for _ in requests]
        for prompt in prompts:
            if prompt in self.errors:
                raise self.errors[prompt]
        for request in requests:
            request.on_step(Step(1, 1))
        return [Rendering((), 0, self.switch_s, 0, rows=len(requests)) for _ in requests]

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        self.ahead += [adapter.identity for adapter in adapters]

    def merge_loss(self, adapter: HostAdapter, stop: Stop) -> float | None:
        """Until somebody waits for a picture, or the gate is open."""
        self.threads.add(threading.get_ident())
        self.measuring.set()
        while not self.gate.wait(0.005):
            if stop():
                raise Stopped
        return self.losses[adapter.identity]

    def sleep(self, stop: Stop) -> None:
        """When the gate is open, unless somebody waits for a picture."""
        self.threads.add(threading.get_ident())
        self.falling_asleep.set()
        while not self.gate.wait(0.005):
            if stop():
                raise Stopped
        if self.sleepless is not None:
            raise self.sleepless
        self.served.append("(sleep)")

    def wake(self) -> None:
        if self.wakeless is not None:
            raise self.wakeless
        self.served.append("(wake)")

    def check(self) -> None:
        self.checks += 1
        if self.broken is not None:
            raise self.broken


def recipe(prompt: str) -> Recipe:
    return Recipe(prompt, "", 64, 64, 1, 1.0, SchedulerName.EULER, 0, 1)


def adapter(name: str) -> ScaledAdapter[AdapterFile]:
    file = AdapterFile(Path(name), name, AdapterFacts(AdapterFormat.KOHYA, file_layout((), ()), 1))
    return ScaledAdapter(file, 1.0, f"default/{name}")


@dataclass
class Disk:
    """Files that are read at once, when the test lets it, or not at all."""

    closed: dict[str, asyncio.Event] = field(default_factory=dict)
    errors: dict[str, RequestError] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.readers = Readers(self._no_thread)
        self.cache = HostCache(1000, self.readers)

    def _no_thread(self, file: AdapterFile) -> HostAdapter:
        raise NotImplementedError

    async def load(self, wanted: ScaledAdapter[AdapterFile]) -> HostAdapter:
        name = wanted.adapter.identity
        self.read.append(name)
        if name in self.closed:
            await self.closed[name].wait()
        if name in self.errors:
            raise self.errors[name]
        return StubAdapter(name, name, 1)


@contextlib.asynccontextmanager
async def queue(
    engine: ScriptedEngine,
    max_pending: int = 10,
    timeout_s: float = 30,
    rules: QueueRules = DEFAULT_RULES,
    disk: Disk | None = None,
    **options: Any,
) -> AsyncIterator[Dispatcher]:
    files = disk or Disk()
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(1) as ends:
        dispatcher = Dispatcher(
            lambda: engine, thread, ahead, ends, files.cache, files.load, max_pending, timeout_s, rules=rules, **options
        )
        serving = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            engine.gate.set()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def ask(dispatcher: Dispatcher, prompt: str, name: str | None = None) -> "asyncio.Task[Outcome]":
    return asyncio.create_task(dispatcher.render(RenderRequest(recipe(prompt), (adapter(name),) if name else ())))


async def until_running(dispatcher: Dispatcher, pending: int = 0) -> None:
    async with asyncio.timeout(10):
        while dispatcher.running != 1 or dispatcher.pending != pending:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)


async def served_after(
    engine: ScriptedEngine, first: str, *others: str, rules: QueueRules = DEFAULT_RULES
) -> list[Outcome]:
    """What becomes of requests that come while the first one runs; a prompt begins with its adapter's name."""
    async with queue(engine, rules=rules) as dispatcher:
        tasks = [ask(dispatcher, first, first[0])]
        await until_running(dispatcher)
        tasks += [ask(dispatcher, prompt, prompt[0]) for prompt in others]
        await until_running(dispatcher, pending=len(others))
        engine.gate.set()
        return await asyncio.gather(*tasks)
