"""Adapters on the Hugging Face Hub: commit, file, sha256 and what the card says."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its HTTP client's
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lorapool_api.conditions import Reason
from lorapool_api.hub_files import choose_file
from lorapool_api.sources import HubAdapter
from lorapool_operator.act.header import SourceError

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

    async def find(self, source: HubAdapter) -> HubRepoFile:
        """Raises: SourceError."""
        return await asyncio.to_thread(self._find, source)

    def _find(self, source: HubAdapter) -> HubRepoFile:
        info = self._info(source)
        files = {s.rfilename: s for s in info.siblings or ()}
        name = choose_file(files, source.file)
        if name is None:
            raise SourceError(Reason.SOURCE_NOT_FOUND, _no_such_file(source, tuple(files)))
        found = files[name]
        return HubRepoFile(
            revision=info.sha,
            file=name,
            sha256=found.lfs.sha256 if found.lfs else None,
            size_bytes=found.size,
            base_models=base_models(info.card_data),
            url=hf_hub_url(source.repo, name, revision=info.sha, endpoint=self._endpoint),
        )

    def _info(self, source: HubAdapter) -> Any:
        where = f"{source.repo} at {source.revision}"
        try:
            return self._api.model_info(
                source.repo, revision=source.revision, files_metadata=True, timeout=_TIMEOUT_S, token=False
            )
        except GatedRepoError as error:
            text = f"{source.repo} is gated: its owner must grant access"
            raise SourceError(Reason.SOURCE_FORBIDDEN, text) from error
        except RevisionNotFoundError as error:
            raise SourceError(Reason.SOURCE_NOT_FOUND, f"{source.repo} has no revision {source.revision}") from error
        except RepositoryNotFoundError as error:
            text = f"there is no repository {source.repo}, or it is private"
            raise SourceError(Reason.SOURCE_NOT_FOUND, text) from error
        except HfHubHTTPError as error:
            raise _unavailable(error, where) from error
        except (HTTPError, OSError) as error:
            text = f"the Hub cannot be reached for {where}: {type(error).__name__}"
            raise SourceError(Reason.SOURCE_UNAVAILABLE, text) from error


def _unavailable(error: HfHubHTTPError, where: str) -> SourceError:
    code = error.response.status_code
    if code in (401, 403):
        return SourceError(Reason.SOURCE_FORBIDDEN, f"{where}: access denied (HTTP {code})")
    wait = error.response.headers.get("retry-after", "")
    return SourceError(
        Reason.SOURCE_UNAVAILABLE, f"{where}: the Hub answers HTTP {code}", float(wait) if wait.isdecimal() else None
    )


def base_models(card: Any) -> tuple[str, ...]:
    """The card's `base_model`, which people write as a string or as a list."""
    named = getattr(card, "base_model", None)
    if isinstance(named, str):
        return (named,)
    return tuple(n for n in named if isinstance(n, str)) if isinstance(named, Sequence) else ()


def _no_such_file(source: HubAdapter, files: Sequence[str]) -> str:
    weights = sorted(f for f in files if f.endswith(".safetensors"))
    holds = f"it holds {', '.join(weights[:5])}" if weights else "it holds no safetensors file"
    if source.file is None:
        return f"{source.repo} has no weights file of an adapter: {holds}"
    return f"{source.repo} has no file {source.file}; {holds}"
