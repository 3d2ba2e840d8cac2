"""Repositories that nobody declared: whether one is an adapter of this pod's base, and which file it means.

Asked without a token, whatever the environment has: what is served to anybody may be read by anybody.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
from huggingface_hub import constants
from pydantic import BaseModel, Field, ValidationError

from lorapool_api.fetch.hub_errors import refused_by_answer
from lorapool_api.fetch.hub_files import DEFAULT_FILE, choose_file
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.quantities import human_bytes
from lorapool_api.rules.bases import base_ids, is_base
from lorapool_api.rules.few_steps import recognised
from lorapool_api.rules.undeclared import undeclared_key
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import HubFile
from lorapool_common.http.tls import trusted
from lorapool_runtime.errors import AdapterError

MAX_ANSWER_BYTES: Final = 4 << 20
_TIMEOUT: Final = httpx.Timeout(15.0)
_TOTAL_S: Final = 30.0
_REDIRECTS: Final = 3  # a repository that was renamed


class _ListedLfs(BaseModel):
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class _ListedFile(BaseModel):
    name: str = Field(alias="rfilename")
    size: int | None = None
    lfs: _ListedLfs | None = None


class _Card(BaseModel):
    """What is read of the Hub's description of a repository."""

    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    siblings: tuple[_ListedFile, ...] | None = None
    card: Any = Field(default=None, alias="cardData")
    tags: Any = None
    gated: Any = False
    private: Any = False


class HubCards:
    """Blocking; safe to call from many threads at once."""

    def __init__(
        self,
        model: BaseModelSpec,
        max_file_bytes: int,
        endpoint: str | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """`endpoint`: of another Hub than the environment's."""
        self._model = model
        self._max_file_bytes = max_file_bytes
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._max_answer_bytes = max_answer_bytes

    def look(self, repo: str) -> CatalogEntry:
        """The adapter that the repository is today. Raises: AdapterError."""
        address = f"{self._endpoint}/api/models/{repo}/revision/main?blobs=true"
        try:
            return self._entry(repo, _Card.model_validate_json(self._get(address, repo)))
        except ValidationError as error:
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{repo}: the Hub's answer is not understood") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = f"{repo}: the Hub cannot be reached: {type(error).__name__}"
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, text) from error

    def _get(self, address: str, repo: str) -> bytes:
        ends_at, body = time.monotonic() + _TOTAL_S, bytearray()
        # The environment's proxy is taken, as the Hub's own client library does.
        with (
            httpx.Client(timeout=_TIMEOUT, verify=trusted(trust_env=True), max_redirects=_REDIRECTS) as client,
            client.stream("GET", address, follow_redirects=True) as response,
        ):
            if response.status_code != 200:
                raise AdapterError.of(refused_by_answer(response.status_code, response.headers, repo))
            for piece in response.iter_bytes():
                body += piece
                if len(body) > self._max_answer_bytes:
                    text = f"{repo}: the list of its files has more than {self._max_answer_bytes} bytes"
                    raise AdapterError(Reason.FILE_TOO_LARGE, text)
                if time.monotonic() > ends_at:
                    raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{repo}: the Hub did not answer in time")
        return bytes(body)

    def _entry(self, repo: str, found: _Card) -> CatalogEntry:
        files = {file.name: file for file in found.siblings or ()}
        if found.gated or found.private:
            text = (
                f"{repo} is gated or private: a LoraAdapter with a tokenSecretRef can serve it, a request alone cannot"
            )
            raise AdapterError(Reason.SOURCE_FORBIDDEN, text)
        if not _is_lora(found, files):
            text = f"{repo} is no LoRA: it has neither a file {DEFAULT_FILE} nor the tag lora"
            raise AdapterError(Reason.NOT_A_LORA, text)
        self._check_base(repo, found.card)
        name = choose_file(files, None)
        if name is None:
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{repo} holds no safetensors file of weights")
        size = files[name].size
        if size is not None and size > self._max_file_bytes:
            text = f"{repo}/{name} has {human_bytes(size)}; the pool takes at most {human_bytes(self._max_file_bytes)}"
            raise AdapterError(Reason.FILE_TOO_LARGE, text)
        source, lfs = HubFile(repo=repo, revision=found.sha, file=name), files[name].lfs
        return CatalogEntry(
            key=undeclared_key(repo),
            source=source,
            sha256=lfs.sha256 if lfs else None,
            size_bytes=size,
            recognised=recognised(repo, name),
        )

    def _check_base(self, repo: str, card: object) -> None:
        named = _words(card.get("base_model")) if isinstance(card, Mapping) else ()
        if not is_base(self._model, named):
            said = f"says that it was trained for {', '.join(named)[:200]}" if named else "names no base_model"
            text = (
                f"the card of {repo} {said}; the pool holds {', '.join(base_ids(self._model)) or 'no base of the Hub'}"
            )
            raise AdapterError(Reason.BASE_MODEL_MISMATCH, text)


def _is_lora(found: _Card, files: Mapping[str, _ListedFile]) -> bool:
    tags = (*_words(found.tags), *(_words(found.card.get("tags")) if isinstance(found.card, Mapping) else ()))
    return any(name.endswith(DEFAULT_FILE) for name in files) or "lora" in tags


def _words(said: object) -> tuple[str, ...]:
    """What people write as a string or as a list."""
    if isinstance(said, str):
        return (said,)
    return tuple(word for word in said if isinstance(word, str)) if isinstance(said, Sequence) else ()
