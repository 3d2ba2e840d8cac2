"""Everything at once: clients, loads, evictions, deletions. Each picture is by exactly the adapters asked for."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.pods import Running, config, entry, eventually, settings, started

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.serving import ApplyMode, Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.config import Budgets
from lorapool_api.wire.sources.basic import PathFile
from lorapool_api.wire.state import AdapterPhase

KINDS = ("lora kohya, mixed ranks, text too", "lora peft, all modules", "dora diffusers", "loha kohya", "lokr kohya")
CLIENTS, REQUESTS = 6, 8
# What a request may be told while adapters come and go.
EXPECTED = {404: "UnknownAdapter", 409: "AdapterNotReady", 422: "AdapterFailed"}

Stack = tuple[str, ...]


@pytest.mark.timeout(600)
async def test_every_picture_in_a_storm_is_by_the_adapters_asked_for(model: Path, tmp_path: Path) -> None:
    entries = adapters(model, tmp_path / "adapters")
    broken = tmp_path / "adapters" / "broken.safetensors"
    broken.write_bytes(b"\x10" + b"\0" * 40)
    storm = Storm(entries, entry(broken))
    async with started(settings(tmp_path, pool(model, tmp_path / "adapters", entries))) as pod:
        await pod.apply(*storm.all)
        await eventually(lambda: pod.runtime.not_ready is None)
        for key in storm.entries:
            assert (await pod.until(key)).phase is AdapterPhase.READY
        wanted = {stack: await picture(pod, stack) for stack in storm.stacks}
        assert len({image for image, _ in wanted.values()}) == len(wanted), "each stack makes a picture of its own"

        ended = asyncio.Event()
        gardener = asyncio.create_task(storm.garden(pod, ended))
        clients = [asyncio.create_task(storm.client(pod, number, wanted)) for number in range(CLIENTS)]
        outcomes: Counter[str] = Counter()
        for client in clients:
            outcomes += await client
        ended.set()
        changes = await gardener

        assert outcomes["picture"] >= CLIENTS * REQUESTS / 4, outcomes
        assert changes >= 5
        await pod.apply(*storm.all)
        await pod.until_all(storm.entries)
        assert {stack: await picture(pod, stack) for stack in storm.stacks} == wanted


class Storm:
    """Who does what; all of it by fixed dice, but for the order in which threads get their turn."""

    def __init__(self, entries: dict[str, CatalogEntry], broken: CatalogEntry) -> None:
        self.entries = entries
        self.broken = broken
        keys = list(entries)
        self.stacks: list[Stack] = [(), *((key,) for key in keys), (keys[0], keys[1]), (keys[2], keys[3])]

    @property
    def all(self) -> list[CatalogEntry]:
        return [*self.entries.values(), self.broken]

    async def client(self, pod: Running, number: int, wanted: dict[Stack, tuple[str, list[str]]]) -> "Counter[str]":
        dice = random.Random(number)  # noqa: S311 -- a test wants the same numbers each time
        outcomes: Counter[str] = Counter()
        for _ in range(REQUESTS):
            stack = dice.choice([*self.stacks, (self.broken.key,)])
            reply = await pod.generate(adapters=[{"key": key} for key in stack])
            if reply.status_code != 200:
                assert EXPECTED.get(reply.status_code) == reply.json()["code"], reply.text
                outcomes["refused"] += 1
                continue
            assert read(reply.json()) == wanted[stack], f"{stack} made another picture"
            outcomes["picture"] += 1
        return outcomes

    async def garden(self, pod: Running, ended: asyncio.Event) -> int:
        """Take adapters away and put them back, again and again."""
        dice, changes = random.Random(99), 0  # noqa: S311
        while not ended.is_set():
            gone = dice.choice(list(self.entries))
            await pod.apply(*(e for e in self.all if e.key != gone))
            await asyncio.wait([asyncio.create_task(ended.wait())], timeout=0.05)
            await pod.apply(*self.all)
            await pod.until(gone)
            changes += 1
        return changes


def adapters(model: Path, folder: Path) -> dict[str, CatalogEntry]:
    from tests.runtime.conftest import load_reference
    from tests.runtime.files import EVERY

    found = {}
    for i, kind in enumerate(KINDS):
        path = EVERY[kind](load_reference(model), folder / str(i))
        found[f"default/a{i}"] = entry(path, f"default/a{i}")
    return found


def pool(model: Path, root: Path, entries: dict[str, CatalogEntry]) -> Any:
    """Room for about two of the adapters in each tier."""
    from tests import tiny

    largest = max(Path(e.source.path).stat().st_size for e in entries.values() if isinstance(e.source, PathFile))
    return config(
        root,
        engine=EngineName.DIFFUSERS,
        model=BaseModelSpec(source=ModelSource.model_construct(path=str(model)), dtype=Dtype.FLOAT32),
        serving=Serving(
            mode=ApplyMode.UNMERGED,
            defaults=Serving().defaults.model_copy(update={"width": tiny.SIZE, "height": tiny.SIZE, "steps": 1}),
        ),
        budgets=Budgets(device_bytes=4 * largest, host_bytes=4 * largest, disk_bytes=4 * largest),
    )


async def picture(pod: Running, stack: Stack) -> tuple[str, list[str]]:
    reply = await pod.generate(adapters=[{"key": key} for key in stack])
    assert reply.status_code == 200, reply.text
    return read(reply.json())


def read(reply: dict[str, Any]) -> tuple[str, list[str]]:
    """The picture, and the files that made it."""
    return reply["images"][0]["data"], [used["sha256"] for used in reply["adapters"]]
