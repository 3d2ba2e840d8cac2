"""One cache folder for several processes: each file comes once, and what anybody gets is whole."""

import hashlib
import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from tenacity import wait_none
from tests.web import Reply, Web

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.origins import SourceRules

PROCESSES, FETCHES, FILES, KEPT = 3, 60, 6, 3
SIZE_BYTES = 300_000


def content(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * (SIZE_BYTES // 32)


@pytest.fixture
def addresses(web: Web) -> list[str]:
    for number in range(FILES):
        web.answers[f"/{number}"] = Reply(body=content(number))
    return [f"{web.url}/{number}" for number in range(FILES)]


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    # Not forked: this process has threads.
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        yield pool


def fetch(folder: Path, bound_bytes: int | None, addresses: list[str], host: str) -> Counter[str]:
    """In a process of its own: what came of fetching these, one after the other."""
    fetcher = Fetcher(BlobFolder(folder, bound_bytes), SourceRules((), (host,), 10**6), wait=wait_none())
    outcomes: Counter[str] = Counter()
    for address in addresses:
        blob = fetcher.fetch(CatalogEntry(key="default/a", source=UrlFile(url=address)), lambda: False)
        try:
            whole = hashlib.sha256(blob.path.read_bytes()).hexdigest() == blob.sha256
        except FileNotFoundError:  # it made room for another process's file: who wants it asks again
            outcomes["gone"] += 1
            continue
        right = blob.sha256 == hashlib.sha256(content(int(address.rpartition("/")[2]))).hexdigest()
        outcomes["right" if whole and right else "wrong"] += 1
    return outcomes


def test_a_burst_of_processes_downloads_once(
    tmp_path: Path, web: Web, addresses: list[str], processes: ProcessPoolExecutor
) -> None:
    futures = [processes.submit(fetch, tmp_path, None, addresses[:1], web.host) for _ in range(2 * PROCESSES)]
    assert [future.result(60) for future in futures] == [Counter(right=1)] * (2 * PROCESSES)
    assert web.count("GET", "/0") == 1


def test_processes_that_make_room_for_each_other_get_whole_files(
    tmp_path: Path, web: Web, addresses: list[str], processes: ProcessPoolExecutor
) -> None:
    dice = random.Random(1)  # noqa: S311 -- a test wants the same numbers each time
    wanted = [dice.choices(addresses, k=FETCHES) for _ in range(PROCESSES)]
    futures = [processes.submit(fetch, tmp_path, KEPT * SIZE_BYTES, w, web.host) for w in wanted]
    outcomes = sum((future.result(120) for future in futures), Counter())
    assert outcomes["wrong"] == 0
    assert outcomes["right"] > PROCESSES * FETCHES / 2, outcomes
    blobs = list((tmp_path / "blobs").iterdir())
    assert sum(blob.stat().st_size for blob in blobs) <= KEPT * SIZE_BYTES
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)
    assert list((tmp_path / "tmp").iterdir()) == []
