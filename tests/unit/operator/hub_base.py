"""A pool whose base is in a repository of the Hub, and what its status says of that."""

from typing import Any

from tests.operator_hub import COMMIT
from tests.unit.operator import make as made

from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_api.kinds.status.base import BaseRevision, ModelStatus

KEY = ("stabilityai/base", "main")


def pool(revision: str = "main", token: bool = False, **status: Any) -> Pool:
    hub: dict[str, Any] = {"repo": KEY[0], "revision": revision}
    if token:
        hub["tokenSecretRef"] = {"name": "hub", "key": "token"}
    plain = made.pool(model={"source": {"hub": hub}, "dtype": "float32"})
    return plain.model_copy(update={"status": PoolStatus(**status)})


def settled(commit: str | None = COMMIT, revision: str = "main") -> ModelStatus:
    return ModelStatus(sources=(BaseRevision(repo=KEY[0], revision=revision, commit=commit),))
