"""Adapters on the Hugging Face Hub: commit, file, sha256 and what the card says."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from huggingface_hub import HfApi, hf_hub_url

from lorapool_api.fetch.hub_errors import refused_by_hub
from lorapool_api.fetch.hub_files import choose_file
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubModel, HubSource

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True)
class HubRepoFile:
    """A weights file at a commit.

    Attributes:
        base_models: the card's `base_model`, a string or a list there; empty where it says nothing.
        url: where the file is, at that commit.
    """

    revision: str
    file: str
    sha256: str | None
    size_bytes: int | None
    base_models: tuple[str, ...]
    url: str


class Hub:
    """The Hub, without credentials: what the pods may need a token for, the operator does not see."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint
        self._api = HfApi(endpoint=endpoint, token=False)

    async def find(self, source: HubSource) -> HubRepoFile:
        """Raises: SourceRefused."""
        return await asyncio.to_thread(self._find, source)

    def _find(self, source: HubSource) -> HubRepoFile:
        info = self._info(source)
        files = {s.rfilename: s for s in info.siblings or ()}
        name = choose_file(files, source.file)
        if name is None:
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, _no_such_file(source, tuple(files)))
        found = files[name]
        return HubRepoFile(
            revision=info.sha,
            file=name,
            sha256=found.lfs.sha256 if found.lfs else None,
            size_bytes=found.size,
            base_models=base_models(info.card_data),
            url=hf_hub_url(source.repo, name, revision=info.sha, endpoint=self._endpoint),
        )

    async def commit(self, source: HubModel) -> str:
        """The commit that the revision of a base model is at. Raises: SourceRefused."""
        info = await asyncio.to_thread(self._info, source)
        return str(info.sha)

    def _info(self, source: HubSource | HubModel) -> Any:
        try:
            return self._api.model_info(
                source.repo, revision=source.revision, files_metadata=True, timeout=_TIMEOUT_S, token=False
            )
        except Exception as error:  # the library lets errors of its HTTP client through, whichever it has
            raise refused_by_hub(error, source.repo, f"at {source.revision}") from error


def base_models(card: Any) -> tuple[str, ...]:
    """The card's `base_model`, which people write as a string or as a list."""
    named = getattr(card, "base_model", None)
    if isinstance(named, str):
        return (named,)
    return tuple(n for n in named if isinstance(n, str)) if isinstance(named, Sequence) else ()


def _no_such_file(source: HubSource, files: Sequence[str]) -> str:
    weights = sorted(f for f in files if f.endswith(".safetensors"))
    holds = f"it holds {', '.join(weights[:5])}" if weights else "it holds no safetensors file"
    if source.file is None:
        return f"{source.repo} has no weights file of an adapter: {holds}"
    return f"{source.repo} has no file {source.file}; {holds}"
