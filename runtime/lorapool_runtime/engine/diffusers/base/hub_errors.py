"""Why a base model cannot be had from the Hub, where diffusers speaks of its cache and of its arguments instead."""

from collections.abc import Iterator

from huggingface_hub.errors import HfHubHTTPError

from lorapool_api.fetch.hub_errors import refused_by_hub
from lorapool_api.kinds.sources import HubModel


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
