"""A registry with everything around it in the hands of a test."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import until

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.lora.declared import DeclaredUse
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.fit import Modules, check_fits
from lorapool_api.lora.modules import PartInfo, file_layout, file_module
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.sources.basic import PathFile
from lorapool_api.wire.state import AdapterPhase
from lorapool_common.backoff import Backoff
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.host.readers import Ticket
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.order.own_first import is_always_own
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.undeclared.registry import OpenRegistry


def entry(name: str, path: str | None = None, **fields: object) -> CatalogEntry:
    plain = {"key": f"default/{name}", "generation": 1, "source": PathFile(path=path or f"/a/{name}")}
    return CatalogEntry.model_validate({**plain, **fields})


@dataclass
class FakeSources:
    """Files by path; an error stands for what happens instead, an event for a download that takes its time."""

    faults: dict[str, AdapterError | Exception | asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ahead: int = 0
    cancelled: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    on_load: Callable[[], None] = lambda: None
    declared: dict[str, FoundDefaults] = field(default_factory=dict)

    async def load(self, entry: CatalogEntry, *, is_ahead: bool = False) -> AdapterFile:
        self.ahead += is_ahead
        assert isinstance(entry.source, PathFile)
        path = entry.source.path
        self.asked.append(path)
        fault = self.faults.get(path)
        try:
            if isinstance(fault, asyncio.Event):
                await fault.wait()
            elif fault is not None:
                raise fault
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise
        self.on_load()
        parts = (PartInfo("down", "F16", (4, 8)), PartInfo("up", "F16", (8, 4)))
        layout = file_layout((file_module("unet", "mid_block", parts),), ())
        facts = AdapterFacts(AdapterFormat.KOHYA, layout, 10, declared=DeclaredUse(self.declared.get(path)))
        return AdapterFile(Path(path), f"sha-of-{path}", facts)

    def forget(self, source: FileSource) -> None:
        pass

    def discard(self, file: AdapterFile) -> None:
        self.discarded.append(file.sha256)


@dataclass
class FakeDevice:
    """What the engine holds."""

    there: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)

    def on_device(self) -> frozenset[str]:
        return frozenset(self.there)

    def forget(self, identity: str) -> None:
        self.there.discard(identity)

    def pin(self, identities: Collection[str]) -> None:
        self.pinned = set(identities)


@dataclass
class Bench:
    """A registry with everything around it in the test's hands."""

    modules: Modules = field(default_factory=dict)
    bound_bytes: int = 100
    make_index: Callable[[Changes], CatalogIndex] = CatalogIndex
    sources: FakeSources = field(default_factory=FakeSources)
    device: FakeDevice = field(default_factory=FakeDevice)
    changes: Changes = field(default_factory=Changes)
    warm: asyncio.Event = field(default_factory=asyncio.Event)
    reads: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    is_own: Callable[[str], bool] = is_always_own

    def __post_init__(self) -> None:
        self.warm.set()
        self.memory = HostCache(self.bound_bytes, self)
        self.registry = OpenRegistry(
            self.changes,
            self.sources,
            self.memory,
            self.device,
            self._check,
            self._near,
            backoff=lambda: Backoff(0.0, 0.0),
            index=self.make_index(self.changes),
            is_own=self.is_own,
        )

    async def _check(self, file: AdapterFile) -> None:
        await self.warm.wait()
        check_fits(file.facts, self.modules)
        await self.memory.check(file)

    async def _near(self, adapter: HostAdapter) -> None:
        self.device.there.add(adapter.identity)

    async def read(self, file: AdapterFile, ticket: Ticket) -> HostAdapter:
        if file.sha256 in self.missing:
            raise FileNotFoundError(file.path)
        self.reads.append(file.sha256)
        await asyncio.sleep(0)
        return StubAdapter(file.identity, file.sha256, 40)

    def hurry(self, ticket: Ticket) -> None:
        pass

    async def take(self, name: str) -> HostAdapter:
        """As a request does: the choice, then the weights."""
        (chosen,) = self.registry.weights.take([AdapterUse(key=f"default/{name}")])
        return await self.registry.weights.load(chosen)

    def apply(self, *entries: CatalogEntry) -> None:
        self.registry.replace(Catalog.of(entries))

    def phase(self, name: str) -> str:
        return self.registry.states()[f"default/{name}"].phase

    async def ready(self, *names: str) -> None:
        await until(lambda: all(self.phase(n) is AdapterPhase.READY for n in names))
