"""Adapters that no LoraAdapter declares: repositories of the Hub that a pool serves on demand: pure.

Their keys are told from those of objects by a colon, which no name of an object holds.
"""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from lorapool_api.kinds.sources import RepoId

_PREFIX: Final = "hub:"
_REPO_ID: Final[TypeAdapter[str]] = TypeAdapter(RepoId)


def undeclared_key(repo: str) -> str:
    """The key of an adapter that is the repository."""
    return f"{_PREFIX}{repo}"


def undeclared_repo(key: str) -> str | None:
    """The repository; None where it is the key of an object, or of nothing."""
    repo = key.removeprefix(_PREFIX)
    return repo if repo != key and is_repo_id(repo) else None


def is_declared(key: str) -> bool:
    """Whether a LoraAdapter declares it."""
    return undeclared_repo(key) is None


def is_repo_id(name: str) -> bool:
    """Whether a repository of the Hub can be called that."""
    try:
        _REPO_ID.validate_python(name)
    except ValidationError:
        return False
    return ".." not in name and "/." not in name
