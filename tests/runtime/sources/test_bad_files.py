"""Files that nobody can use are refused with their reason, hold up nobody, and leave nothing in the cache folder."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from tenacity import wait_none
from tests import files, hostile
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import PathFile, UrlFile
from lorapool_runtime.adapters.checker import Checker
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.lanes import Lanes
from lorapool_runtime.sources.loader import FileLoader
from lorapool_runtime.sources.origins import SourceRules

CONTENT = files.lora_file()
BAD = {
    "a pickle": (b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.", Reason.INVALID_WEIGHTS),
    "cut off": (CONTENT[:-1], Reason.INVALID_WEIGHTS),
    "longer than it says": (CONTENT + b"\0", Reason.INVALID_WEIGHTS),
    "a header beyond the file": ((2**63).to_bytes(8, "little") + CONTENT[8:], Reason.INVALID_WEIGHTS),
    "NaN": (files.lora_file(poison=float("nan")), Reason.INVALID_WEIGHTS),
    "infinity": (files.lora_file(poison=float("-inf")), Reason.INVALID_WEIGHTS),
    "too high a rank": (files.lora_file(rank=17), Reason.RANK_TOO_HIGH),
    "a whole model": (files.whole_model_file(), Reason.NOT_A_LORA),
    "a page of HTML": (b"<!DOCTYPE html><html></html>", Reason.INVALID_WEIGHTS),
    "nothing": (b"", Reason.INVALID_WEIGHTS),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
async def test_a_file_that_nobody_can_use_leaves_nothing_on_the_disk(
    tmp_path: Path, web: Web, content: bytes, reason: Reason
) -> None:
    web.answers["/bad.safetensors"] = Reply(body=content)
    blobs = BlobFolder(tmp_path / "cache")
    loader = FileLoader(Fetcher(blobs, SourceRules((), (web.host,), 10**6), wait=wait_none()), blobs, max_rank=16)
    entry = CatalogEntry(key="default/a", source=UrlFile(url=f"{web.url}/bad.safetensors"))
    with pytest.raises(AdapterError) as error:
        await loader.load(entry)
    loader.close()
    assert error.value.reason is reason
    kept = [f for part in ("blobs", "tmp", "refs") for f in (tmp_path / "cache" / part).iterdir()]
    assert kept == []


@pytest.mark.usefixtures("no_collection")
async def test_eight_hostile_files_at_once_hold_up_neither_the_loop_nor_a_good_one(tmp_path: Path) -> None:
    """The limits of what they may cost are those of the operator's test of the same name."""
    made = hostile.hostile_files() | {"good": files.lora_file(rank=400)}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    blobs, checker = BlobFolder(tmp_path / "cache"), Checker()
    loader = FileLoader(
        Fetcher(blobs, SourceRules((str(tmp_path),), (), 10**9), wait=wait_none()), blobs, 512, checker=checker
    )

    async def brought(name: str) -> AdapterFile | BaseException:
        entry = CatalogEntry(key=f"default/{len(name)}", source=PathFile(path=str(tmp_path / name)))
        try:
            return await loader.load(entry)
        except AdapterError as error:
            return error

    assert not isinstance(await brought("good"), AdapterError)
    async with hostile.measured() as cost:
        found = dict(zip(made, await asyncio.gather(*map(brought, made)), strict=True))
    assert checker.pid not in (None, os.getpid())
    loader.close()
    refused = {name: error.reason for name, error in found.items() if isinstance(error, AdapterError)}
    assert refused == {
        "metadata of tiny entries": Reason.INVALID_WEIGHTS,
        "metadata of tiny objects": Reason.INVALID_WEIGHTS,
        "the same with wide characters": Reason.INVALID_WEIGHTS,
        "as many tensors as are read": Reason.UNSUPPORTED_FORMAT,
    }
    assert cost.longest_stall_s <= 0.05
    assert cost.process_s - cost.thread_s < 0.6, "the work is not done on this process's other threads"
    assert cost.grown_bytes <= 64 * hostile.MIB


async def test_downloads_that_hang_hold_up_no_other_of_the_same_host(tmp_path: Path, web: Web) -> None:
    over = threading.Event()
    web.answers |= {f"/hung{i}": Reply(body=CONTENT, hold=over) for i in range(8)}
    web.answers |= {f"/good{i}": Reply(body=files.lora_file(seed=i + 1)) for i in range(12)}
    blobs = BlobFolder(tmp_path / "cache")
    fetcher = Fetcher(blobs, SourceRules((), (web.host,), 10**6), wait=wait_none())
    loader = FileLoader(fetcher, blobs, max_rank=16, lanes=Lanes(begin_s=0.1))

    def bring(name: str) -> "asyncio.Task[AdapterFile]":
        return asyncio.create_task(loader.load(CatalogEntry(key="default/a", source=UrlFile(url=f"{web.url}/{name}"))))

    hung = [bring(f"hung{i}") for i in range(8)]
    good = [bring(f"good{i}") for i in range(12)]
    try:
        async with asyncio.timeout(20):
            assert len({file.sha256 for file in await asyncio.gather(*good)}) == 12
        assert not any(task.done() for task in hung)
    finally:
        over.set()
    assert {file.sha256 for file in await asyncio.gather(*hung)} == {files.sha256(CONTENT)}
    loader.close()
