"""Files from volumes and addresses: what is allowed, what is checked, what is left behind."""

import errno
import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tenacity import wait_none
from tests import files
from tests.web import Reply, Web, serving

from lorapool_api.adapter import AdapterFormat
from lorapool_api.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry, PathFile, UrlFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.store import url
from lorapool_runtime.store.blobs import Blob, BlobFolder, hash_file
from lorapool_runtime.store.fetch import Fetcher, Rules
from lorapool_runtime.store.files import Beside
from lorapool_runtime.store.limits import write_hashed

CONTENT = files.lora_file()
SHA256 = files.sha256(CONTENT)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        server.answers["/a.safetensors"] = Reply(body=CONTENT)
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "adapters"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(CONTENT)
    return folder


class Store:
    """A fetcher on a folder of its own, with the rules that a test wants."""

    def __init__(
        self, tmp_path: Path, roots: tuple[Path, ...] = (), hosts: tuple[str, ...] = (), max_bytes: int = 10**6
    ) -> None:
        self.cache = tmp_path / "cache"
        rules = Rules(tuple(str(r) for r in roots), hosts, max_bytes)
        self.fetcher = Fetcher(BlobFolder(self.cache), rules, wait=wait_none())

    def fetch(self, source: PathFile | UrlFile, **expected: object) -> Blob:
        entry = CatalogEntry.model_validate({"key": "default/a", "source": source, **expected})
        return self.fetcher.fetch(entry, lambda: False)

    def refuse(self, source: PathFile | UrlFile, **expected: object) -> AdapterError:
        """The error of a fetch that must fail, after a look that it left nothing behind."""
        with pytest.raises(AdapterError) as refused:
            self.fetch(source, **expected)
        assert self.left() == []
        return refused.value

    def beside(self, source: PathFile) -> Beside:
        return self.fetcher.beside(CatalogEntry(key="default/a", source=source), AdapterFormat.PEFT)

    def left(self) -> list[str]:
        return [f.name for part in ("blobs", "tmp") for f in (self.cache / part).iterdir()]


# ---- path ------------------------------------------------------------------------------------------------------


def test_a_file_below_a_root_becomes_a_blob(tmp_path: Path, root: Path) -> None:
    store = Store(tmp_path, (root,))
    blob = store.fetch(PathFile(path=str(root / "a.safetensors")))
    assert (blob.sha256, blob.path.read_bytes()) == (SHA256, CONTENT)
    assert store.left() == [SHA256]


def test_a_file_that_changes_later_changes_nothing(tmp_path: Path, root: Path) -> None:
    blob = Store(tmp_path, (root,)).fetch(PathFile(path=str(root / "a.safetensors")))
    (root / "a.safetensors").write_bytes(b"other")
    assert blob.path.read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["/etc/passwd", "{root}/../secret", "{root}/link", "{root}/folder/secret"])
def test_nothing_outside_of_the_roots_is_read(tmp_path: Path, root: Path, path: str) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    error = Store(tmp_path, (root,)).refuse(PathFile(path=path.format(root=root)))
    assert error.reason is Reason.SOURCE_FORBIDDEN


def test_what_lies_beside_a_file_comes_along(tmp_path: Path, root: Path) -> None:
    store, source = Store(tmp_path, (root,)), PathFile(path=str(root / "a.safetensors"))
    assert store.beside(source) == Beside()
    (root / "adapter_config.json").write_bytes(b"{}")
    (root / "embeddings.safetensors").write_bytes(b"words")
    assert store.beside(source) == Beside(b"{}", b"words")


def test_what_lies_beside_a_file_is_bounded_and_within_the_roots(tmp_path: Path, root: Path) -> None:
    store, source = Store(tmp_path, (root,)), PathFile(path=str(root / "a.safetensors"))
    words = root / "embeddings.safetensors"
    words.write_bytes(b"x" * (4 * 2**20 + 1))
    with pytest.raises(AdapterError) as error:
        store.beside(source)
    assert error.value.reason is Reason.FILE_TOO_LARGE
    words.unlink()
    words.symlink_to("/etc/hostname")
    with pytest.raises(AdapterError) as error:
        store.beside(source)
    assert error.value.reason is Reason.SOURCE_FORBIDDEN


def test_a_link_within_the_roots_is_followed(tmp_path: Path, root: Path) -> None:
    (root / "link.safetensors").symlink_to(root / "a.safetensors")
    assert Store(tmp_path, (root,)).fetch(PathFile(path=str(root / "link.safetensors"))).sha256 == SHA256


def test_a_folder_beside_a_root_with_a_longer_name_is_outside(tmp_path: Path, root: Path) -> None:
    beside = tmp_path / "adapters-of-others"
    beside.mkdir()
    (beside / "a.safetensors").write_bytes(CONTENT)
    error = Store(tmp_path, (root,)).refuse(PathFile(path=str(beside / "a.safetensors")))
    assert error.reason is Reason.SOURCE_FORBIDDEN


def test_a_pod_without_volumes_says_so(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path).refuse(PathFile(path=str(root / "a.safetensors")))
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert "mount no volume" in error.message


def test_a_missing_file_is_not_found_for_good(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path, (root,)).refuse(PathFile(path=str(root / "b.safetensors")))
    assert (error.reason, error.transient) == (Reason.SOURCE_NOT_FOUND, False)


@pytest.mark.timeout(20)
def test_a_named_pipe_holds_nobody(tmp_path: Path, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert Store(tmp_path, (root,)).refuse(PathFile(path=str(root / "pipe"))).reason is Reason.SOURCE_NOT_FOUND


def test_another_sha256_than_pinned_is_refused(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path, (root,)).refuse(PathFile(path=str(root / "a.safetensors")), sha256="0" * 64)
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert SHA256 in error.message
    assert "0" * 64 in error.message


def test_a_file_over_the_limit_is_refused(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path, (root,), max_bytes=100).refuse(PathFile(path=str(root / "a.safetensors")))
    assert error.reason is Reason.FILE_TOO_LARGE
    assert f"{len(CONTENT)} bytes; the pool takes at most 100" in error.message


# ---- url -------------------------------------------------------------------------------------------------------


def test_a_file_at_an_allowed_address_becomes_a_blob(tmp_path: Path, web: Web) -> None:
    store = Store(tmp_path, hosts=(web.host,))
    assert store.fetch(UrlFile(url=f"{web.url}/a.safetensors?key=1")).path.read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path, web: Web) -> None:
    store, source = Store(tmp_path, hosts=(web.host,)), UrlFile(url=f"{web.url}/a.safetensors")
    store.fetch(source)
    store.fetch(source)
    store.fetch(source, sha256=SHA256)
    assert web.count("GET", "/a.safetensors") == 1


def test_a_burst_downloads_once(tmp_path: Path, web: Web) -> None:
    source = UrlFile(url=f"{web.url}/a.safetensors")
    # A store each: what processes that share a folder see.
    stores = [Store(tmp_path, hosts=(web.host,)) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        blobs = list(threads.map(lambda s: s.fetch(source), stores))
    assert {b.sha256 for b in blobs} == {SHA256}
    assert web.count("GET", "/a.safetensors") == 1


def test_a_host_that_is_not_allowed_is_never_asked(tmp_path: Path, web: Web) -> None:
    error = Store(tmp_path, hosts=("example.org",)).refuse(UrlFile(url=f"{web.url}/a.safetensors?key=secret"))
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert "secret" not in error.message
    assert web.seen == []


def test_a_redirect_to_another_host_is_refused(tmp_path: Path, web: Web) -> None:
    with serving("127.0.0.2") as inner:
        inner.answers["/a.safetensors"] = Reply(body=CONTENT)
        web.answers["/away"] = Reply(302, headers={"location": f"{inner.url}/a.safetensors"})
        error = Store(tmp_path, hosts=(web.host,)).refuse(UrlFile(url=f"{web.url}/away"))
        assert error.reason is Reason.SOURCE_FORBIDDEN
        assert inner.seen == []


def test_redirects_among_allowed_hosts_are_followed(tmp_path: Path, web: Web) -> None:
    web.answers["/moved"] = Reply(301, headers={"location": "/a.safetensors"})
    assert Store(tmp_path, hosts=(web.host,)).fetch(UrlFile(url=f"{web.url}/moved")).sha256 == SHA256


def test_endless_redirects_end(tmp_path: Path, web: Web) -> None:
    web.answers["/round"] = Reply(302, headers={"location": "/round"})
    error = Store(tmp_path, hosts=(web.host,)).refuse(UrlFile(url=f"{web.url}/round"))
    assert error.reason is Reason.SOURCE_NOT_FOUND


@pytest.mark.parametrize(
    ("status", "reason", "tries"),
    [
        (404, Reason.SOURCE_NOT_FOUND, 1),
        (403, Reason.SOURCE_FORBIDDEN, 1),
        (429, Reason.SOURCE_UNAVAILABLE, 3),
        (503, Reason.SOURCE_UNAVAILABLE, 3),
    ],
)
def test_only_what_may_pass_is_tried_again(tmp_path: Path, web: Web, status: int, reason: Reason, tries: int) -> None:
    web.answers["/a"] = Reply(status)
    assert Store(tmp_path, hosts=(web.host,)).refuse(UrlFile(url=f"{web.url}/a")).reason is reason
    assert web.count("GET", "/a") == tries


def test_a_server_that_breaks_off_is_tried_again(tmp_path: Path, web: Web) -> None:
    answers = iter([Reply(body=CONTENT, headers={"content-length": str(len(CONTENT) + 9)}), Reply(body=CONTENT)])
    web.answers["/a"] = lambda _: next(answers)
    assert Store(tmp_path, hosts=(web.host,)).fetch(UrlFile(url=f"{web.url}/a")).sha256 == SHA256


def test_a_download_over_the_limit_is_refused(tmp_path: Path, web: Web) -> None:
    web.answers["/a"] = Reply(body=b"x" * 5000)
    error = Store(tmp_path, hosts=(web.host,), max_bytes=1000).refuse(UrlFile(url=f"{web.url}/a"))
    assert error.reason is Reason.FILE_TOO_LARGE


def test_a_server_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    with serving() as gone:
        url, host = f"{gone.url}/a?key=secret", gone.host
    error = Store(tmp_path, hosts=(host,)).refuse(UrlFile(url=url))
    assert (error.reason, error.transient) == (Reason.SOURCE_UNAVAILABLE, True)
    assert "secret" not in error.message


# ---- the folder ------------------------------------------------------------------------------------------------


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


# ---- the bound of the folder -----------------------------------------------------------------------------------


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


# ---- downloads that break off ----------------------------------------------------------------------------------


@dataclass
class Cutting:
    """A server that sends a part of the file, breaks off, and knows how to go on: as often as it is told to cut."""

    cuts: int
    content: bytes = CONTENT
    versions: tuple[str, ...] = ('"one"',)
    asked: list[str | None] = field(default_factory=list)

    def __call__(self, request: BaseHTTPRequestHandler) -> Reply:
        wanted = request.headers.get("range")
        self.asked.append(wanted)
        version = self.versions[min(len(self.asked), len(self.versions)) - 1]
        goes_on = wanted is not None and request.headers.get("if-range") == version
        first = int(str(wanted).removeprefix("bytes=").rstrip("-")) if goes_on else 0
        rest = self.content[first:]
        headers = {"accept-ranges": "bytes", "etag": version, "content-length": str(len(rest))}
        if goes_on:
            headers["content-range"] = f"bytes {first}-{len(self.content) - 1}/{len(self.content)}"
        sent = rest[: len(rest) // 2] if len(self.asked) <= self.cuts else rest
        request.close_connection = True
        return Reply(206 if goes_on else 200, sent, headers)


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path, web: Web) -> None:
    web.answers["/a.safetensors"] = server = Cutting(cuts=2)
    store = Store(tmp_path, hosts=(web.host,))
    assert store.fetch(UrlFile(url=f"{web.url}/a.safetensors")).path.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.asked == [None, f"bytes={half}-", f"bytes={half + (len(CONTENT) - half) // 2}-"]


def test_what_changed_in_between_is_read_anew_and_never_put_together(tmp_path: Path, web: Web) -> None:
    web.answers["/a.safetensors"] = server = Cutting(cuts=1, versions=('"one"', '"two"'))
    store = Store(tmp_path, hosts=(web.host,))
    assert store.fetch(UrlFile(url=f"{web.url}/a.safetensors")).path.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={len(CONTENT) // 2}-", None]


def test_a_server_that_always_breaks_off_is_given_up(tmp_path: Path, web: Web) -> None:
    web.answers["/a.safetensors"] = server = Cutting(cuts=10**6)
    error = Store(tmp_path, hosts=(web.host,)).refuse(UrlFile(url=f"{web.url}/a.safetensors"))
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert len(server.asked) <= 12


def test_a_server_that_drips_bytes_is_given_up(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """No read of it times out; but by this clock 100 seconds pass with each piece that comes."""
    ticks = itertools.count(step=100.0)
    monkeypatch.setattr(url, "write_hashed", partial(write_hashed, clock=lambda: next(ticks)))
    error = Store(tmp_path, hosts=(web.host,)).refuse(UrlFile(url=f"{web.url}/a.safetensors"))
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "too slow" in error.message


# ---- a cache folder that takes no more -------------------------------------------------------------------------


def test_a_full_disk_is_the_pods_trouble_and_leaves_nothing(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(url, "write_hashed", full)
    error = Store(tmp_path, hosts=(web.host,)).refuse(UrlFile(url=f"{web.url}/a.safetensors"))
    assert (error.reason, error.transient) == (Reason.POD_FAILED, True)
    assert "No space left on device" in error.message
