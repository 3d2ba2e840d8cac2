"""What a repository of the Hub is, asked of a Hub that speaks as the real one does."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from tests.web import Answer, Reply, Web, serving

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import HubFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.undeclared.cards import HubCards

BASE, COMMIT, SHA = "big/base", "c0ffee" + "0" * 34, "ab" * 32
USUAL = "pytorch_lora_weights.safetensors"
MODEL = BaseModelSpec.model_validate({"source": {"hub": {"repo": BASE}}, "aliases": ["old/base"]})
PATH = "/api/models/a/b/revision/main"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


def described(*files: str, size: int = 100, **changes: Any) -> Reply:
    siblings = [{"rfilename": name, "size": size, "lfs": {"sha256": SHA, "size": size}} for name in files]
    plain = {"sha": COMMIT, "siblings": siblings, "cardData": {"base_model": BASE}, "tags": [], "gated": False}
    return Reply(body=json.dumps(plain | changes).encode())


def look(web: Web, reply: Answer, **options: Any) -> CatalogEntry:
    web.answers[PATH] = reply
    return HubCards(MODEL, 1000, web.url, **options).look("a/b")


def refused(web: Web, reply: Answer, **options: Any) -> tuple[Reason, str]:
    with pytest.raises(AdapterError) as refusal:
        look(web, reply, **options)
    return refusal.value.reason, refusal.value.message


def test_the_usual_file_at_its_commit_is_meant(web: Web) -> None:
    assert look(web, described("a.safetensors", USUAL)) == CatalogEntry(
        key="hub:a/b", source=HubFile(repo="a/b", revision=COMMIT, file=USUAL), sha256=SHA, size_bytes=100
    )


def test_one_for_few_steps_is_known_by_its_name(web: Web) -> None:
    found = look(web, described("sdxl_lightning_4step_lora.safetensors", tags=["lora"])).recognised
    assert found is not None
    assert (found.steps, found.guidance_scale) == (4, 0.0)


@pytest.mark.parametrize("tags", [{"tags": ["lora"]}, {"cardData": {"base_model": BASE, "tags": ["lora"]}}])
def test_another_file_counts_where_a_tag_says_lora(web: Web, tags: dict[str, Any]) -> None:
    found = look(web, described("x.bin", "my_emb.safetensors", "z.safetensors", "y.safetensors", **tags))
    assert isinstance(found.source, HubFile)
    assert found.source.file == "y.safetensors"


@pytest.mark.parametrize("named", [BASE, ["x/y", BASE], "old/base"])
def test_the_card_names_the_base_as_a_word_or_in_a_list(web: Web, named: object) -> None:
    assert look(web, described(USUAL, cardData={"base_model": named})).key == "hub:a/b"


@pytest.mark.parametrize("card", [None, {}, [], "x", {"base_model": None}, {"base_model": "x/y"}, {"base_model": [1]}])
def test_another_base_or_none_is_refused(web: Web, card: object) -> None:
    reason, message = refused(web, described(USUAL, cardData=card))
    assert reason is Reason.BASE_MODEL_MISMATCH
    assert "the pool holds big/base, old/base" in message


def test_what_is_no_lora_is_refused(web: Web) -> None:
    assert refused(web, described("model.safetensors"))[0] is Reason.NOT_A_LORA
    assert refused(web, described("pytorch_lora_weights.bin"))[0] is Reason.NOT_A_LORA
    assert refused(web, described("x.bin", tags=["lora"]))[0] is Reason.SOURCE_NOT_FOUND
    assert refused(web, described(USUAL, size=1001))[0] is Reason.FILE_TOO_LARGE


@pytest.mark.parametrize("closed", [{"gated": "auto"}, {"gated": True}, {"private": True}])
def test_what_not_everybody_may_read_is_refused_whatever_token_the_pod_has(
    web: Web, closed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_pool")
    tokens: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        tokens.append(request.headers.get("authorization"))
        return described(USUAL, **closed)

    assert refused(web, answer)[0] is Reason.SOURCE_FORBIDDEN
    assert tokens == [None]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(404, headers={"x-error-code": "RepoNotFound"}), Reason.SOURCE_NOT_FOUND),
        (Reply(401), Reason.SOURCE_NOT_FOUND),
        (Reply(429), Reason.SOURCE_UNAVAILABLE),
        (Reply(500), Reason.SOURCE_UNAVAILABLE),
        (Reply(body=b"<html>"), Reason.SOURCE_UNAVAILABLE),
        (Reply(body=b'{"sha": "../../etc"}'), Reason.SOURCE_UNAVAILABLE),
    ],
)
def test_other_answers_are_refused_with_their_reason(web: Web, reply: Reply, reason: Reason) -> None:
    assert refused(web, reply)[0] is reason


def test_an_answer_without_end_is_not_read(web: Web) -> None:
    assert refused(web, described(USUAL), max_answer_bytes=50)[0] is Reason.FILE_TOO_LARGE


def test_a_hub_that_is_away_may_come_back() -> None:
    with pytest.raises(AdapterError) as refusal:
        HubCards(MODEL, 1000, "http://127.0.0.1:1").look("a/b")
    assert refusal.value.transient
