"""Files from other pods: by content, from as many as it takes, and never other bytes."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.web import Answer, Reply, Web, serving

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected
from lorapool_runtime.sources.pods import transfer

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "a-pools-token"
BLOB = f"/v1/blobs/{SHA256}"


@pytest.fixture
def pods() -> Iterator[list[Web]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving()) for _ in range(3)]


def whole(request: BaseHTTPRequestHandler) -> Reply:
    """A pod that has the file: ranges, and only for who has the token."""
    if request.headers["authorization"] != f"Bearer {TOKEN}":
        return Reply(401)
    first = int((request.headers["range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    if not first:
        return Reply(body=CONTENT)
    return Reply(206, CONTENT[first:], {"content-range": f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"})


def broken_off(at: int) -> Answer:
    """A pod that ends within the file."""

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        return Reply(body=CONTENT[:at], headers={"content-length": str(len(CONTENT))})

    def close_after(request: BaseHTTPRequestHandler) -> Reply:
        request.close_connection = True
        return answer(request)

    return close_after


def fetched(folder: Path, pods: list[Web], token: str = TOKEN, size: int | None = None) -> bytes:
    target, never = folder / "file", threading.Event()
    hosts = [pod.host for pod in pods]
    transfer.fetch(hosts, token, target, Expected(SHA256, size, len(CONTENT)), never.is_set)
    return target.read_bytes()


def test_the_first_pod_that_has_it_gives_it(tmp_path: Path, pods: list[Web]) -> None:
    pods[0].answers[BLOB] = whole
    assert fetched(tmp_path, pods) == CONTENT
    assert pods[1].seen == []


def test_a_pod_that_has_it_no_more_is_passed_over(tmp_path: Path, pods: list[Web]) -> None:
    pods[2].answers[BLOB] = whole
    assert fetched(tmp_path, pods) == CONTENT


def test_another_pod_goes_on_where_one_broke_off(tmp_path: Path, pods: list[Web]) -> None:
    pods[0].answers[BLOB], pods[1].answers[BLOB] = broken_off(300_000), whole
    asked: list[str | None] = []

    def noted(request: BaseHTTPRequestHandler) -> Reply:
        asked.append(request.headers["range"])
        return whole(request)

    pods[1].answers[BLOB] = noted
    assert fetched(tmp_path, pods) == CONTENT
    assert asked == ["bytes=300000-"]


def test_other_bytes_are_never_taken_and_the_next_pod_is_asked_for_all(tmp_path: Path, pods: list[Web]) -> None:
    pods[0].answers[BLOB] = Reply(body=CONTENT[:-1] + b"x")
    pods[1].answers[BLOB] = whole
    assert fetched(tmp_path, pods) == CONTENT


def test_a_part_of_a_liar_costs_one_more_try(tmp_path: Path, pods: list[Web]) -> None:
    pods[0].answers[BLOB] = Reply(body=b"x" * 1000, headers={"content-length": str(len(CONTENT))})
    pods[1].answers[BLOB] = pods[2].answers[BLOB] = whole
    assert fetched(tmp_path, pods) == CONTENT


def test_a_pod_that_sends_without_end_is_left(tmp_path: Path, pods: list[Web]) -> None:
    pods[0].answers[BLOB] = Reply(body=CONTENT * 3)
    pods[1].answers[BLOB] = whole
    assert fetched(tmp_path, pods) == CONTENT


@pytest.mark.parametrize(
    "answer",
    [
        Reply(404),
        Reply(500),
        Reply(401),
        Reply(302, headers={"location": "/elsewhere"}),
        Reply(206, CONTENT[5:], {"content-range": f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"}),
        Reply(body=CONTENT[::-1]),
    ],
)
def test_when_nobody_gives_it_the_source_may_be_asked(tmp_path: Path, pods: list[Web], answer: Reply) -> None:
    for pod in pods:
        pod.answers[BLOB] = answer
    with pytest.raises(AdapterError) as error:
        fetched(tmp_path, pods)
    assert error.value.reason is Reason.SOURCE_UNAVAILABLE
    assert error.value.transient
    assert all(pod.count("GET", "/elsewhere") == 0 for pod in pods)


def test_pods_that_break_off_again_and_again_are_given_up(tmp_path: Path, pods: list[Web]) -> None:
    for pod in pods:
        pod.answers[BLOB] = broken_off(1000)
    with pytest.raises(AdapterError):
        fetched(tmp_path, pods)
    assert sum(len(pod.seen) for pod in pods) <= 30


def test_the_token_stands_in_no_message(tmp_path: Path, pods: list[Web]) -> None:
    with pytest.raises(AdapterError) as error:
        fetched(tmp_path, pods, token="another-token")
    assert "another-token" not in str(error.value)
