"""A base's folder from the Hub; why it cannot be had, where diffusers speaks of its cache and its arguments instead."""

from collections.abc import Collection, Iterator
from pathlib import Path

from diffusers import DiffusionPipeline
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from lorapool_api.fetch.hub_errors import refused_by_hub
from lorapool_api.kinds.sources import HubModel
from lorapool_runtime.errors import ModelError


def snapshot(hub: HubModel, without: Collection[str]) -> Path:
    """The folder of the Hub's cache with the files that the pipeline needs; its name is the commit.

    Args:
        without: of these components only the configuration is fetched.

    Raises: ModelError.
    """
    where = f"{hub.repo} at {hub.revision}"
    try:
        folder = Path(
            DiffusionPipeline.download(
                hub.repo,
                revision=hub.revision,
                variant=hub.variant,
                use_safetensors=True,
                trust_remote_code=False,
                **dict.fromkeys(without),
            )
        )
        for name in without:
            _configuration(hub.repo, folder.name, name)
    except (HfHubHTTPError, OSError, ValueError) as error:
        trouble = hub_trouble(hub, error) or f"{where} cannot be had from the Hub: {first_line(error)}"
        raise ModelError(trouble) from error
    return folder


def _configuration(repo: str, commit: str, component: str) -> None:
    """Into the folder of the commit, where the repository has that component."""
    try:
        hf_hub_download(repo, f"{component}/config.json", revision=commit)
    except EntryNotFoundError:
        return


def hub_trouble(hub: HubModel, error: BaseException) -> str | None:
    """What the Hub answered; None where the error does not come from the Hub.

    diffusers wraps the Hub's answer into an error about its cache; the answer is in the chain of causes.
    """
    answers = (cause for cause in _causes(error) if isinstance(cause, HfHubHTTPError))
    answer = next(answers, None)
    return refused_by_hub(answer, hub.repo, f"at {hub.revision}").message if answer is not None else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that led to it, each once."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def first_line(error: BaseException) -> str:
    """An error of a library in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
