"""Files of the Hub, from a server that speaks as the Hub does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests import files
from tests.web import Reply, Web, serving

COMMIT = "a" * 40
REPO = "nerijs/pixel-art-xl"
FILE = "weights/pixel.safetensors"
CONTENT = files.lora_file("peft")
SHA256 = files.sha256(CONTENT)
SOURCE = {"repo": REPO, "revision": COMMIT, "file": FILE}

Call = Callable[..., dict[str, Any]]


def hub_file(content: bytes) -> Reply:
    """A file as the Hub serves it: its commit, its name by content."""
    headers = {"x-repo-commit": COMMIT, "etag": f'"{files.sha256(content)}"', "x-linked-size": str(len(content))}
    return Reply(body=content, headers=headers)


def hub_error(status: int, code: str) -> Reply:
    return Reply(status, headers={"x-error-code": code, "x-error-message": "no"})


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def hub(server: Web) -> Web:
    """The server with one repository, and nothing that an earlier test left."""
    server.answers.clear()
    server.seen.clear()
    server.answers[f"/{REPO}/resolve/{COMMIT}/{FILE}"] = hub_file(CONTENT)
    return server


@pytest.fixture(scope="module")
def worker(server: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[str]"]:
    """A process whose Hub is the server of these tests."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.hub_calls", str(tmp_path_factory.mktemp("hf"))],
        env=os.environ | {"HF_ENDPOINT": server.url, "HF_TOKEN": "hf_secret", "HF_HUB_DOWNLOAD_TIMEOUT": "2"},
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.communicate()


@pytest.fixture
def call(worker: "subprocess.Popen[str]", tmp_path: Path) -> Call:
    """Run a call in that process."""

    def run(what: str, **arguments: object) -> dict[str, Any]:
        assert worker.stdin is not None
        assert worker.stdout is not None
        print(json.dumps({"what": what, "cache": str(tmp_path), "arguments": arguments}), file=worker.stdin, flush=True)
        line = worker.stdout.readline()
        assert "hf_secret" not in line
        answer: dict[str, Any] = json.loads(line)
        return answer

    return run


def test_a_file_comes_at_its_commit_by_one_request_and_is_kept_once(call: Call, hub: Web) -> None:
    answer = call("fetch", source=SOURCE, sha256=SHA256)
    assert answer == {"sha256": SHA256, "left": []}, "the blob has no suffix: nothing else may be left"
    assert hub.seen == [("GET", f"/{REPO}/resolve/{COMMIT}/{FILE}")]


def test_a_download_that_breaks_off_goes_on_where_it_was(call: Call, hub: Web) -> None:
    whole, half, ranges = hub_file(CONTENT), len(CONTENT) // 2, list[str | None]()

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        ranges.append(request.headers["range"])
        if len(ranges) == 1:
            return Reply(body=CONTENT[:half], headers={**whole.headers, "content-length": str(len(CONTENT))})
        rest = {**whole.headers, "content-range": f"bytes {half}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        return Reply(206, CONTENT[half:], rest)

    hub.answers[f"/{REPO}/resolve/{COMMIT}/{FILE}"] = answer
    assert call("fetch", source=SOURCE)["sha256"] == SHA256
    assert ranges == [None, f"bytes={half}-"]


def test_a_hub_that_goes_on_at_another_byte_is_refused(call: Call, hub: Web) -> None:
    half = len(CONTENT) // 2
    cut = Reply(body=CONTENT[:half], headers={"content-length": str(len(CONTENT))})
    hub.answers[f"/{REPO}/resolve/{COMMIT}/{FILE}"] = cut
    answer = call("fetch", source=SOURCE)
    assert (answer["reason"], answer["transient"]) == ("SourceUnavailable", True), answer


def test_another_content_than_the_hub_promised_is_refused(call: Call, hub: Web) -> None:
    answer = call("fetch", source=SOURCE, sha256="0" * 64)
    assert answer["reason"] == "ChecksumMismatch"
    assert SHA256 in answer["message"]
    assert hub.count("GET", f"/{REPO}/resolve/{COMMIT}/{FILE}") == 1


@pytest.mark.parametrize(
    ("reply", "reason", "transient"),
    [
        (hub_error(404, "EntryNotFound"), "SourceNotFound", False),
        (hub_error(404, "RevisionNotFound"), "SourceNotFound", False),
        (hub_error(401, "RepoNotFound"), "SourceNotFound", False),
        (hub_error(403, "GatedRepo"), "SourceForbidden", False),
        (Reply(503), "SourceUnavailable", True),
    ],
)
def test_what_the_hub_answers_has_its_reason(call: Call, hub: Web, reply: Reply, reason: str, transient: bool) -> None:
    hub.answers[f"/{REPO}/resolve/{COMMIT}/{FILE}"] = reply
    answer = call("fetch", source=SOURCE)
    assert (answer["reason"], answer["transient"]) == (reason, transient), answer


def test_a_file_over_the_limit_is_refused_before_it_is_read(call: Call, hub: Web) -> None:
    path, over = f"/{REPO}/resolve/{COMMIT}/{FILE}", threading.Event()
    hub.answers[path] = replace(hub_file(b"x" * (10**6 + 1)), hold=over)
    try:
        assert call("fetch", source=SOURCE)["reason"] == "FileTooLarge"
    finally:
        over.set()


def test_a_hub_that_does_not_answer_is_given_up_after_one_question(call: Call, hub: Web) -> None:
    path, over = f"/{REPO}/resolve/{COMMIT}/{FILE}", threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> Reply:
        over.wait(300)
        return Reply(503)

    hub.answers[path] = hang
    try:
        answer = call("fetch", source=SOURCE)
    finally:
        over.set()
    assert (answer["reason"], answer["transient"]) == ("SourceUnavailable", True), answer
    assert hub.count("GET", path) == 1


def beside(hub: Web, **files: Reply) -> None:
    """These files lie beside the weights, and no others."""
    for name, file in {"config": "adapter_config.json", "embeddings": "embeddings.safetensors"}.items():
        reply = files.get(name, hub_error(404, "EntryNotFound"))
        hub.answers[f"/{REPO}/resolve/{COMMIT}/weights/{file}"] = reply


def test_the_configuration_beside_a_peft_file_comes_along(call: Call, hub: Web) -> None:
    beside(hub, config=hub_file(b'{"r": 4}'))
    assert call("beside", source=SOURCE) == {"config": '{"r": 4}', "embeddings": None}


def test_the_words_beside_a_file_come_along(call: Call, hub: Web) -> None:
    beside(hub, embeddings=hub_file(b"words"))
    assert call("beside", source=SOURCE) == {"config": None, "embeddings": "words"}


def test_of_a_file_that_is_known_to_be_alone_nothing_else_is_asked(call: Call, hub: Web) -> None:
    beside(hub, embeddings=hub_file(b"words"))
    assert call("beside", source=SOURCE, alone=True) == {"config": None, "embeddings": None}
    assert hub.seen == []


def test_words_that_are_too_many_are_not_left_out_in_silence(call: Call, hub: Web) -> None:
    beside(hub, embeddings=hub_file(b"x" * (4 * 2**20 + 1)))
    assert call("beside", source=SOURCE)["reason"] == "FileTooLarge"


def test_nothing_beside_it_is_no_error(call: Call, hub: Web) -> None:
    beside(hub)
    assert call("beside", source=SOURCE) == {"config": None, "embeddings": None}


def test_a_hub_that_does_not_say_whether_there_is_one_is_asked_again(call: Call, hub: Web) -> None:
    beside(hub, config=Reply(500))
    assert call("beside", source=SOURCE)["reason"] == "SourceUnavailable"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["b.safetensors", "pytorch_lora_weights.safetensors"], "pytorch_lora_weights.safetensors"),
        (["README.md", "b.safetensors", "a.safetensors"], "a.safetensors"),
        (["a_embeddings.safetensors", "b.safetensors"], "b.safetensors"),
    ],
)
def test_outside_of_kubernetes_the_usual_file_is_found(call: Call, hub: Web, names: list[str], chosen: str) -> None:
    hub.answers[f"/api/models/{REPO}/revision/main"] = _info(names)
    assert call("resolve", repo=REPO) == {"kind": "hub", "repo": REPO, "revision": COMMIT, "file": chosen}


def test_a_private_file_comes_with_the_adapters_token_and_not_with_the_pools(call: Call, hub: Web) -> None:
    path, given = f"/{REPO}/resolve/{COMMIT}/{FILE}", set[str]()

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        given.add(request.headers["authorization"])
        is_let_in = request.headers["authorization"] == "Bearer hf_canary"
        return hub_file(CONTENT) if is_let_in else hub_error(401, "RepoNotFound")

    hub.answers[path] = answer
    private = SOURCE | {"credentials": {"namespace": "team", "secret": "hf", "keys": [["token", "token"]]}}
    answered = call("fetch", source=private, token="hf_canary")
    assert answered == {"sha256": SHA256, "left": []}
    assert given == {"Bearer hf_canary"}


def _info(names: list[str]) -> Callable[[BaseHTTPRequestHandler], Reply]:
    content = {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names], "private": False, "tags": []}
    return lambda _: Reply(body=json.dumps(content).encode(), headers={"content-type": "application/json"})
