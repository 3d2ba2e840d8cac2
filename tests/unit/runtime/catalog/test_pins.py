"""Pinned adapters: on the device before anyone asks, and no others kept there."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.runtime.catalog.bench import FakeDevice
from tests.waiting import until

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.modules import file_layout
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.host.readers import Ticket
from lorapool_runtime.catalog.pins import Pins
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import AdapterError


@dataclass
class PinBench:
    device: FakeDevice = field(default_factory=FakeDevice)
    brought: list[str] = field(default_factory=list)
    moved: int = 0
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pins = Pins(self.device, HostCache(100, self), self._bring, self._on_moved)

    async def read(self, file: AdapterFile, ticket: Ticket) -> HostAdapter:
        if file.identity in self.broken:
            raise AdapterError(Reason.INVALID_WEIGHTS, "not finite")
        return StubAdapter(file.identity, file.sha256, 1)

    def hurry(self, ticket: Ticket) -> None:
        pass

    async def _bring(self, adapter: HostAdapter) -> None:
        self.brought.append(adapter.identity)
        self.device.there.add(adapter.identity)

    def _on_moved(self) -> None:
        self.moved += 1


def file(name: str) -> AdapterFile:
    return AdapterFile(Path("/nowhere"), name, AdapterFacts(AdapterFormat.KOHYA, file_layout((), ()), 1))


async def test_a_pinned_adapter_is_brought_to_the_device_once() -> None:
    bench = PinBench()
    bench.pins.set_pinned([file("a")])
    bench.pins.set_pinned([file("a")])
    await until(lambda: bench.moved == 1)
    bench.pins.set_pinned([file("a")])
    assert (bench.brought, bench.device.pinned) == (["a"], {"a"})


async def test_what_is_there_already_is_only_pinned() -> None:
    bench = PinBench(FakeDevice(there={"a"}))
    bench.pins.set_pinned([file("a")])
    assert bench.device.pinned == {"a"}
    await bench.pins.close()
    assert bench.brought == []


async def test_who_is_not_pinned_any_more_may_leave() -> None:
    bench = PinBench()
    bench.pins.set_pinned([file("a"), file("b")])
    await until(lambda: bench.moved == 2)
    bench.pins.set_pinned([file("b")])
    assert bench.device.pinned == {"b"}


async def test_one_that_cannot_be_brought_holds_up_no_other() -> None:
    bench = PinBench(broken={"a"})
    bench.pins.set_pinned([file("a"), file("b")])
    await until(lambda: bench.moved == 2)
    assert (bench.brought, bench.device.pinned) == (["b"], {"a", "b"})
