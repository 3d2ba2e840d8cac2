"""Files from addresses: what is asked, what is tried again, what is given up."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.runtime.stores import CONTENT, SHA256, Store
from tests.web import Reply, Web, serving

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_runtime.sources.limits import write_hashed


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


def test_a_server_that_drips_bytes_is_given_up(tmp_path: Path, web: Web) -> None:
    """No read of it times out; but by this clock 100 seconds pass with each piece that comes."""
    ticks = itertools.count(step=100.0)
    by_ticks = partial(write_hashed, clock=lambda: next(ticks))
    error = Store(tmp_path, hosts=(web.host,), write=by_ticks).refuse(UrlFile(url=f"{web.url}/a.safetensors"))
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert "too slow" in error.message
