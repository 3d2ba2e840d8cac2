"""A base model with the commits of its repositories in the place of branches and tags."""

import re
from collections.abc import Mapping
from typing import Final

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.sources import HubModel, ModelSource

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def hub_sources(model: BaseModelSpec) -> tuple[HubModel, ...]:
    """The repositories that the model names."""
    sources = (model.source, model.vae, model.config, *(source for c in model.controls for source in c.sources))
    return tuple(source.hub for source in sources if source is not None and source.hub is not None)


def pinned(pool: Pool, commits: Mapping[tuple[str, str], str]) -> Pool:
    """The pool as its pods shall read it.

    Args:
        commits: (repository, revision) -> commit; what is not in it stays as it is.
    """
    model = pool.spec.model
    changed = model.model_copy(
        update={
            "source": _pinned(model.source, commits),
            "vae": _pinned(model.vae, commits) if model.vae is not None else None,
            "config": _pinned(model.config, commits) if model.config is not None else None,
            "controls": tuple(c.with_sources(lambda source: _pinned(source, commits)) for c in model.controls),
        }
    )
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"model": changed})})


def _pinned(source: ModelSource, commits: Mapping[tuple[str, str], str]) -> ModelSource:
    hub = source.hub
    commit = commits.get((hub.repo, hub.revision)) if hub is not None else None
    if hub is None or commit is None:
        return source
    return source.model_copy(update={"hub": hub.model_copy(update={"revision": commit})})
