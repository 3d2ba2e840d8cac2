"""Adapters on the Hub: found, and read by their header alone."""

from typing import Any

import pytest
from tests import make
from tests.files import lora_file, sha256, whole_model_file
from tests.operator_hub import COMMIT, FakeHub, Repo
from tests.unit.operator.secrets import Secrets
from tests.unit.operator.sources.asking import refused, resolved

from lorapool_api.fetch.hub_files import choose_file
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubSource
from lorapool_operator.decide.adapters.checker import catalog_entry
from lorapool_operator.decide.versions import resolution_of, version_of
from lorapool_operator.sources.artifacts.clients import ArtifactClients
from lorapool_operator.sources.facts import FactsReader
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.hub import HubClient, base_models
from lorapool_operator.sources.look import SourceReader
from lorapool_operator.sources.resolver import Resolver

NAME = "pytorch_lora_weights.safetensors"


def from_hub(repo: str = "a/b", metadata: Any = None, **more: Any) -> Adapter:
    return make.adapter(source={"hub": {"repo": repo} | more}, metadata=metadata)


@pytest.mark.parametrize(
    ("files", "wanted", "found"),
    [
        (["a.safetensors", NAME], None, NAME),
        (["b.safetensors", "c.safetensors"], None, "b.safetensors"),
        (["embeddings.safetensors", "z.safetensors"], None, "z.safetensors"),
        (["style_emb.safetensors", "style.safetensors"], None, "style.safetensors"),
        (["README.md", "model.bin"], None, None),
        (["a.safetensors", "sub/b.safetensors"], "sub/b.safetensors", "sub/b.safetensors"),
        (["a.safetensors"], "b.safetensors", None),
    ],
)
def test_the_weights_file_is_chosen_as_people_name_them(
    files: list[str], wanted: str | None, found: str | None
) -> None:
    assert choose_file(files, wanted) == found


async def test_cards_name_one_base_or_several(hub: FakeHub) -> None:
    hub.repos = {
        "a/one": Repo({NAME: lora_file()}, base_model="x/base"),
        "a/two": Repo({NAME: lora_file()}, base_model=["x/base", "y/base"]),
        "a/none": Repo({NAME: lora_file()}),
    }
    found = [(await HubClient(hub.url).find(HubSource(repo=r))).base_models for r in ("a/one", "a/two", "a/none")]
    assert found == [("x/base",), ("x/base", "y/base"), ()]
    assert base_models(None) == ()


@pytest.mark.parametrize(
    ("gallery", "found"),
    [
        ([{"text": "a cat", "output": {"url": "images/a cat.png"}}], "images/a%20cat.png"),
        ([{"text": "no picture"}, {"output": {"url": "b.JPG"}}], "b.JPG"),
        ([{"output": {"url": "https://elsewhere.example/a.png"}}], None),
        ([{"output": {"url": "../../secret.png"}}, {"output": {"url": ["b.JPG"]}}, {"output": "b.JPG"}, 7], None),
        ([{"output": {"url": NAME}}], None),
        ([{}] * 100 + [{"output": {"url": "b.JPG"}}], None),
        ({"output": {"url": "b.JPG"}}, None),
    ],
)
async def test_a_card_shows_a_picture_of_its_own_repository(
    hub: FakeHub, resolver: Resolver, gallery: Any, found: str | None
) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file(), "images/a cat.png": b"", "b.JPG": b""}, gallery=gallery)
    adapter = from_hub()
    known = await resolved(resolver, adapter)
    assert known.thumbnail == (found and f"{hub.url}/a/b/resolve/{COMMIT}/{found}")
    assert resolution_of(version_of(adapter, known, "default/a")).thumbnail == known.thumbnail, "also after a restart"


async def test_a_description_of_a_repository_is_read_no_further_than_it_may_be_long(hub: FakeHub) -> None:
    hub.repos["a/b"] = Repo({f"{number}.safetensors": b"" for number in range(1000)})
    with pytest.raises(SourceRefused, match="more than 65536 bytes") as error:
        await HubClient(hub.url, max_answer_bytes=65536).find(HubSource(repo="a/b"))
    assert error.value.reason is Reason.FILE_TOO_LARGE


async def test_a_repository_that_has_moved_is_followed(hub: FakeHub) -> None:
    hub.repos["new/name"] = Repo({NAME: lora_file()})
    hub.moved["old/name"] = "new/name"
    assert (await HubClient(hub.url).find(HubSource(repo="old/name"))).file == NAME


async def test_a_hub_file_is_known_without_its_download(hub: FakeHub, resolver: Resolver) -> None:
    content = lora_file(rank=8) + b""
    hub.repos["a/b"] = Repo({NAME: content})
    found = await resolved(resolver, from_hub())
    assert (found.revision, found.file, found.sha256) == (COMMIT, NAME, sha256(content))
    assert (found.rank, found.targets, found.size_bytes) == (8, 1, len(content))


@pytest.mark.parametrize(
    ("beside", "alone"),
    [
        ("README.md", True),
        ("other/embeddings.safetensors", True),
        ("lora/embeddings.safetensors", None),
        ("lora/adapter_config.json", None),
    ],
)
async def test_it_is_known_whether_something_lies_beside_a_file(
    hub: FakeHub, resolver: Resolver, beside: str, alone: bool | None
) -> None:
    hub.repos["a/b"] = Repo({"lora/a.safetensors": lora_file(), beside: b"{}"})
    adapter = from_hub(file="lora/a.safetensors")
    found = await resolved(resolver, adapter)
    assert found.alone is alone
    assert catalog_entry(adapter, found).alone is bool(alone)
    version = version_of(adapter, found, "default/a")
    assert resolution_of(version).alone is alone, "also after a restart"


async def test_a_large_file_costs_only_its_header(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file(rank=60_000)})
    found = await resolved(resolver, from_hub())
    assert found.size_bytes is not None
    assert found.size_bytes > 10_000_000
    assert hub.sent_bytes < 300_000


@pytest.mark.parametrize(
    ("repo", "reason", "words"),
    [
        (None, Reason.SOURCE_NOT_FOUND, "no repository of the Hub, or it is private"),
        (Repo({}, status=401, error_code="GatedRepo"), Reason.SOURCE_FORBIDDEN, "gated"),
        (Repo({}, status=403), Reason.SOURCE_FORBIDDEN, "HTTP 403"),
        (Repo({}, status=429), Reason.SOURCE_UNAVAILABLE, "429"),
        (Repo({}, status=500), Reason.SOURCE_UNAVAILABLE, "500"),
        (Repo({"other.bin": b"x"}), Reason.SOURCE_NOT_FOUND, "no safetensors file"),
        (Repo({NAME: whole_model_file()}), Reason.NOT_A_LORA, "whole model"),
        (Repo({NAME: lora_file()[:-4]}), Reason.INVALID_WEIGHTS, "cut off"),
        (Repo({NAME: b""}), Reason.INVALID_WEIGHTS, ""),
        (Repo({NAME: b"PK\x03\x04" + b"x" * 100}), Reason.INVALID_WEIGHTS, "pickle"),
    ],
)
async def test_what_is_wrong_on_the_hub_is_told(
    hub: FakeHub, resolver: Resolver, repo: Repo | None, reason: Reason, words: str
) -> None:
    if repo is not None:
        hub.repos["a/b"] = repo
    found = await refused(resolver, from_hub())
    assert found[0] is reason
    assert words in found[1]


async def test_a_revision_that_does_not_exist_is_named(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file()})
    assert await refused(resolver, from_hub(revision="v9")) == (
        Reason.SOURCE_NOT_FOUND,
        "a/b at v9 has no such revision",
    )


async def test_a_hub_that_is_away_is_no_verdict_on_the_adapter(headers: Headers) -> None:
    resolver = Resolver(
        SourceReader(HubClient("http://127.0.0.1:1"), headers, FactsReader(), ArtifactClients(()), Secrets()),
        lambda _: None,
    )
    assert (await refused(resolver, from_hub()))[0] is Reason.SOURCE_UNAVAILABLE
    resolver.close()
