"""Who may see what: public, private and gated repositories, and how the Hub says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class AccessRefused(Exception):
    """The Hub's no: a status, and the code and message that its clients tell errors apart by."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**({"X-Error-Code": code} if code else {}), "X-Error-Message": message, **(headers or {})}


def repo_not_found(*, known_user: bool) -> AccessRefused:
    """The Hub does not tell strangers whether a repository is private or does not exist."""
    if known_user:
        return AccessRefused(404, "RepoNotFound", "Repository not found")
    return AccessRefused(401, "RepoNotFound", "Invalid username or password.")


def bad_token() -> AccessRefused:
    return AccessRefused(401, "", "Invalid credentials in Authorization header")


@dataclass(frozen=True)
class Access:
    """`tokens` are those of known users; `private` and `gated` name, by repository, the tokens that may read it."""

    tokens: frozenset[str] = frozenset()
    private: Mapping[str, frozenset[str]] = field(default_factory=dict)
    gated: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def _has_users(self) -> bool:
        """A Hub that was told of no token at all lets everybody's pass: nothing here is theirs to open."""
        return bool(self.tokens or self.private or self.gated)

    def is_known(self, token: str | None) -> bool:
        granted = (*self.private.values(), *self.gated.values())
        return token is not None and (token in self.tokens or any(token in grant for grant in granted))

    def sees(self, repo: str, token: str | None) -> bool:
        return repo not in self.private or token in self.private[repo]

    def check_repo(self, repo: str, token: str | None) -> None:
        """Raises `AccessRefused` unless the caller may know of the repository."""
        if token is not None and self._has_users and not self.is_known(token):
            raise bad_token()
        if not self.sees(repo, token):
            raise repo_not_found(known_user=token is not None)

    def check_file(self, repo: str, token: str | None) -> None:
        """Raises `AccessRefused` unless the caller may read the repository's files."""
        self.check_repo(repo, token)
        if repo in self.gated and token not in self.gated[repo]:
            status = 401 if token is None else 403
            raise AccessRefused(status, "GatedRepo", f"Access to model {repo} is restricted.")
