"""Downloads that hang leave room for all others, of the same owner too."""

import asyncio

from tests.waiting import until

from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.sources.artifacts import CivitaiFile, OciFile
from lorapool_api.wire.sources.basic import HubFile, PathFile, UrlFile
from lorapool_runtime.sources.lanes import Lanes


def hub(repo: str) -> HubFile:
    return HubFile(repo=repo, revision="a" * 40, file="a.safetensors")


def test_a_place_is_an_owner_or_a_host() -> None:
    sources: list[FileSource] = [
        hub("nerijs/pixel"), hub("nerijs/other"), hub("ostris/ikea"), UrlFile(url="https://a.example:8/x?y"),
        UrlFile(url="https://b.example/x"), PathFile(path="/a"), PathFile(path="/b"),
        OciFile(ref="ghcr.io/a/b@x", file="x"), OciFile(ref="ghcr.io/c/d@x", file="x"),
        CivitaiFile(version=1, file="x"), CivitaiFile(version=2, file="x"),
    ]  # fmt: skip
    assert len({source.owner for source in sources}) == 7


async def test_eight_that_hang_hold_up_no_other_of_the_same_owner() -> None:
    lanes, never = Lanes(begin_s=0.02), asyncio.Event()

    async def hangs() -> None:
        await never.wait()

    async def comes() -> str:
        return "here"

    hung = [asyncio.create_task(lanes.run(hub(f"one/hung{i}").owner, hangs)) for i in range(8)]
    good = [asyncio.create_task(lanes.run(hub(f"one/good{i}").owner, comes)) for i in range(30)]
    async with asyncio.timeout(20):
        assert await asyncio.gather(*good) == ["here"] * 30
    assert not any(task.done() for task in hung)
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)
    # Their places are free again.
    async with asyncio.timeout(20):
        more = [asyncio.create_task(lanes.run(hub(f"one/hung{i}").owner, hangs)) for i in range(8)]
        assert await lanes.run(hub("one/good").owner, comes) == "here"
    for task in more:
        task.cancel()
    await asyncio.gather(*more, return_exceptions=True)


async def test_so_many_from_one_owner_at_once_and_no_more() -> None:
    lanes, running, most, release = Lanes(begin_s=0.01), 0, 0, asyncio.Event()

    async def counted() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    tasks = [asyncio.create_task(lanes.run(hub(f"one/a{i}").owner, counted)) for i in range(40)]
    async with asyncio.timeout(20):
        await until(lambda: running == 12)
        release.set()
        await asyncio.gather(*tasks)
    assert most == 12
