"""Repositories on the Hugging Face Hub: commit, file, sha256 and what the card says."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from lorapool_api.fetch.hub_errors import refused_by_answer
from lorapool_api.fetch.hub_files import choose_file, is_alone
from lorapool_api.fetch.policy import SourceRefused, UrlFetch, own_hosts
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubModel, HubSource
from lorapool_api.kinds.status.card import MAX_PICTURE_ADDRESS, MOST_BASE_MODELS
from lorapool_api.lora.declared import words_in
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_common.http.tls import trusted
from lorapool_operator.sources.http import opened

HUB: Final = "https://huggingface.co"
_TIMEOUT: Final = httpx.Timeout(15.0)
_TOTAL_S: Final = 60.0
# The Hub needs some 250 bytes for each file of a repository.
MAX_ANSWER_BYTES: Final = 4 << 20
# The Hub's longest id.
_LONGEST_NAME: Final = 193
# Of a card's gallery so many are looked at.
_MOST_EXAMPLES: Final = 32
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class HubRepoFile:
    """A weights file at a commit.

    Attributes:
        base_models: the card's `base_model`, a string or a list there; empty where it says nothing.
        url: where the file is, at that commit.
        words: the card's `instance_prompt`, which calls what was learned.
        thumbnail: address of the first picture of the repository that the card shows, at that commit.
        alone: whether nothing that may belong to it lies beside it.
    """

    revision: str
    file: str
    sha256: str | None
    size_bytes: int | None
    base_models: tuple[str, ...]
    url: str
    words: tuple[str, ...] = ()
    thumbnail: str | None = None
    alone: bool = False


class _Lfs(BaseModel):
    sha256: str | None = None


class _File(BaseModel):
    name: str = Field(alias="rfilename")
    size: int | None = None
    lfs: _Lfs | None = None


class _Repository(BaseModel):
    """What is read of the Hub's description of a repository at a revision."""

    sha: str
    siblings: tuple[_File, ...] | None = None
    card: Any = Field(default=None, alias="cardData")


class HubClient:
    """The Hub, asked as whoever's token is given: what needs another, the operator does not see."""

    def __init__(self, endpoint: str | None = None, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        """`endpoint`: of another Hub than huggingface.co."""
        self._endpoint = (endpoint or HUB).rstrip("/")
        self._max_answer_bytes = max_answer_bytes

    async def find(self, source: HubSource, token: SecretStr | None = None) -> HubRepoFile:
        """The weights file that the source means today. Raises: SourceRefused."""
        found = await self._describe(source.repo, source.revision, {"blobs": "true"}, token)
        files = {file.name: file for file in found.siblings or ()}
        name = choose_file(files, source.file)
        if name is None:
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, _no_such_file(source, tuple(files)))
        file = files[name]
        return HubRepoFile(
            revision=found.sha,
            file=name,
            sha256=file.lfs.sha256 if file.lfs else None,
            size_bytes=file.size,
            base_models=base_models(found.card),
            url=self._file(source.repo, found.sha, name),
            words=instance_words(found.card),
            thumbnail=self._address(source.repo, found.sha, first_picture(found.card, files.keys())),
            alone=is_alone(name, files.keys()),
        )

    def _address(self, repo: str, commit: str, file: str | None) -> str | None:
        """Where the file is; None: there is none, or its address is longer than a status takes."""
        if file is None:
            return None
        address = self._file(repo, commit, file)
        return address if len(address) <= MAX_PICTURE_ADDRESS else None

    def _file(self, repo: str, commit: str, file: str) -> str:
        """Where the Hub has a file at a commit, as `huggingface_hub.hf_hub_url` says it. That package is not asked:
        it takes a tenth of the operator's start."""
        return f"{self._endpoint}/{repo}/resolve/{quote(commit, safe='')}/{quote(file)}"

    async def commit(self, source: HubModel) -> str:
        """The commit that the revision of a base model is at. Raises: SourceRefused."""
        return (await self._describe(source.repo, source.revision, {"expand": "sha"})).sha

    async def _describe(
        self, repo: str, revision: str, query: Mapping[str, str], token: SecretStr | None = None
    ) -> _Repository:
        at = f"at {revision}"
        shown = f"{repo} {at}: the Hub"
        address = f"{self._endpoint}/api/models/{repo}/revision/{quote(revision, safe='')}"
        try:
            async with asyncio.timeout(_TOTAL_S):
                refusal = partial(refused_by_answer, repo=repo, detail=at)
                url = str(httpx.URL(address, params=query))
                fetch = UrlFetch(url, own_hosts(self._endpoint), shown=shown, refusal=refusal, token=token)
                body = await self._get(fetch)
            return await asyncio.to_thread(_Repository.model_validate_json, body)
        except TooLarge as error:
            text = f"{shown}'s list of its files has more than {self._max_answer_bytes} bytes"
            raise SourceRefused(Reason.FILE_TOO_LARGE, text) from error
        except ValidationError as error:
            raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}'s answer is not understood") from error
        except TimeoutError as error:
            raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown} did not answer in time") from error

    async def _get(self, fetch: UrlFetch) -> bytes:
        # The environment's proxy is taken, as the Hub's own client library does.
        verify = trusted(trust_env=True)
        async with httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, verify=verify) as client:

            async def send(fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
                return await client.send(client.build_request("GET", fetch.url, headers=headers), stream=True)

            async with opened(fetch, send, {}) as response:
                return await read_at_most(response.aiter_raw(), self._max_answer_bytes)


def base_models(card: object) -> tuple[str, ...]:
    """The card's `base_model`, which people write as a string or as a list; as many names as a status takes."""
    named = card.get("base_model") if isinstance(card, Mapping) else None
    if isinstance(named, str):
        named = (named,)
    names = (n for n in named if isinstance(n, str)) if isinstance(named, Sequence) else ()
    return tuple(islice((n for n in names if 0 < len(n) <= _LONGEST_NAME), MOST_BASE_MODELS))


def instance_words(card: object) -> tuple[str, ...]:
    """The words of the card's `instance_prompt`; the trainers of diffusers write it."""
    prompt = card.get("instance_prompt") if isinstance(card, Mapping) else None
    return words_in(prompt) if isinstance(prompt, str) else ()


def first_picture(card: object, files: Collection[str]) -> str | None:
    """The first file of the repository that the card's gallery shows (`widget`); pictures of elsewhere are none: their
    owners would learn who looks at a menu."""
    shown = card.get("widget") if isinstance(card, Mapping) else None
    for example in shown[:_MOST_EXAMPLES] if isinstance(shown, list) else ():
        output = example.get("output") if isinstance(example, Mapping) else None
        file = output.get("url") if isinstance(output, Mapping) else None
        if isinstance(file, str) and file in files and file.lower().endswith(_PICTURES):
            return file
    return None


def _no_such_file(source: HubSource, files: Sequence[str]) -> str:
    weights = sorted(f for f in files if f.endswith(".safetensors"))
    holds = f"it holds {', '.join(weights[:5])}" if weights else "it holds no safetensors file"
    if source.file is None:
        return f"{source.repo} has no weights file of an adapter: {holds}"
    return f"{source.repo} has no file {source.file}; {holds}"
