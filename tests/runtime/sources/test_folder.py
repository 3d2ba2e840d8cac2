"""The cache folder: damaged files, killed processes, a bound, a full disk."""

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.runtime.stores import CONTENT, SHA256, Store
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_runtime.sources.blobs import Blob, BlobFolder, hash_file


def test_a_blob_that_was_damaged_is_fetched_again(tmp_path: Path, web: Web) -> None:
    source = UrlFile(url=f"{web.url}/a.safetensors")
    blob = Store(tmp_path, hosts=(web.host,)).fetch(source)
    blob.path.write_bytes(CONTENT[:-4] + b"oops")
    assert Store(tmp_path, hosts=(web.host,)).fetch(source).path.read_bytes() == CONTENT
    assert web.count("GET", "/a.safetensors") == 2


def test_one_download_that_hangs_delays_no_other(tmp_path: Path, web: Web) -> None:
    hold = threading.Event()
    web.answers["/slow"] = Reply(body=CONTENT, hold=hold)
    store = Store(tmp_path, hosts=(web.host,))
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(store.fetch, UrlFile(url=f"{web.url}/slow"))
        try:
            fast = threads.submit(store.fetch, UrlFile(url=f"{web.url}/a.safetensors"))
            assert fast.result(timeout=20).sha256 == SHA256
            assert not slow.done()
        finally:
            hold.set()
        assert slow.result(timeout=20).sha256 == SHA256


def test_what_a_killed_process_left_is_swept_away_after_a_day(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, young = store.cache / "tmp" / "old", store.cache / "tmp" / "young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "file").write_bytes(b"half")
    os.utime(old, (0, 0))
    Store(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_the_blobs_that_were_least_recently_used_make_room(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path, bound_bytes=250)

    def adopt(name: str) -> Blob:
        file = tmp_path / name
        file.write_bytes(name.encode() * 100)
        return blobs.adopt(file, hash_file(file))

    first, second = adopt("a"), adopt("b")
    for age_s, blob in ((20, first), (10, second)):
        os.utime(blob.path, ns=(0, time.time_ns() - age_s * 10**9))
    assert blobs.find(first.sha256) == first  # used again: now the younger one
    third = adopt("c")

    assert blobs.find(second.sha256) is None
    assert (blobs.find(first.sha256), blobs.find(third.sha256)) == (first, third)


def test_one_that_is_larger_than_the_bound_stays_while_it_is_the_newest(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path, bound_bytes=10)
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100)
    sha256 = hash_file(file)
    assert blobs.find(blobs.adopt(file, sha256).sha256) is not None


def test_a_full_disk_is_the_pods_trouble_and_leaves_nothing(tmp_path: Path, web: Web) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    error = Store(tmp_path, hosts=(web.host,), write=full).refuse(UrlFile(url=f"{web.url}/a.safetensors"))
    assert (error.reason, error.transient) == (Reason.POD_FAILED, True)
    assert "No space left on device" in error.message
