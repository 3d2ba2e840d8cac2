"""What becomes of a request for a file at an address: one policy for operator and pods.

Nothing here does input or output: whoever does asks an `UrlFetch` whom to connect to and what an answer means.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final
from urllib.parse import urljoin, urlsplit

from pydantic import SecretStr

from lorapool_api.fetch.hosts import host_and_port, is_allowed, may_carry_credentials, origin, permitted
from lorapool_api.kinds.conditions import Reason

MAX_REDIRECTS: Final = 5
# For what the installation itself names, which says by redirects where its files are.
EVERYWHERE: Final = ("*",)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_FILE: Final = frozenset({200, 206})
# Somebody else, or somebody with a token, might be answered otherwise.
_WHO_ASKS: Final = frozenset({401, 403})


class SourceRefused(Exception):
    """A source that cannot be used, with the reason that a condition will carry.

    Attributes:
        message: never holds a token or the query of an address.
        retry_after_s: what the server asks to wait, where it says so.
    """

    def __init__(self, reason: Reason, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


def reason_of_status(status: int) -> Reason:
    """What an HTTP status other than success means for a source."""
    if status in (401, 403, 407, 451):
        return Reason.SOURCE_FORBIDDEN
    if status in (408, 425, 429) or status >= 500:
        return Reason.SOURCE_UNAVAILABLE
    return Reason.SOURCE_NOT_FOUND


def refused_by_status(shown: str, status: int, headers: Mapping[str, str]) -> SourceRefused:
    """The refusal that an answer with that status is; `shown` names the source."""
    wait = headers.get("retry-after", "")
    asked = float(wait) if wait.isascii() and wait.isdecimal() else None
    return SourceRefused(reason_of_status(status), f"{shown} answered HTTP {status}", asked)


def _refused(shown: str, token: SecretStr | None, status: int, headers: Mapping[str, str]) -> SourceRefused:
    refused = refused_by_status(shown, status, headers)
    if status not in _WHO_ASKS:
        return refused
    asked = "without a token; tokenSecretRef can name one" if token is None else "to the token of tokenSecretRef"
    return SourceRefused(refused.reason, f"{refused.message} {asked}", refused.retry_after_s)


def own_hosts(address: str) -> tuple[str, ...]:
    """The list for an address that the installation itself names: it may redirect anywhere, and takes credentials by
    http where it was named with that."""
    return (*EVERYWHERE, f"http://{urlsplit(address).netloc}")


def plain(url: str) -> str:
    """The address for messages, without its query, which may hold a signature."""
    return url.partition("?")[0].partition("#")[0]


class UrlFetch:
    """One fetch of a file, without its input and output: its address, and those to which redirects lead."""

    def __init__(
        self,
        url: str,
        hosts: Collection[str],
        *,
        shown: str | None = None,
        refusal: Callable[[int, Mapping[str, str]], SourceRefused] | None = None,
        token: SecretStr | None = None,
        authorization: SecretStr | None = None,
        leads_to: Collection[str] | None = None,
        is_chosen: bool = False,
    ) -> None:
        """
        Args:
            hosts: those of `lorapool_api.fetch.hosts`.
            shown: names the source in messages; by default its address without the query.
            refusal: what an answer with that status and these headers means; by default its status decides.
            token: a bearer token for whoever is at the address, and for nobody to whom that redirects.
            authorization: such a header in full, in place of a token.
            leads_to: hosts of redirects, of a server that keeps its files elsewhere; by default `hosts`.
            is_chosen: whether the server is the installation's choice, and may have any address.
        """
        self.url = url
        self.shown = plain(url) if shown is None else shown
        self._hosts = hosts
        self._refusal = refusal or partial(_refused, self.shown, token)
        self._authorization = authorization if token is None else SecretStr(f"Bearer {token.get_secret_value()}")
        self._leads_to = hosts if leads_to is None else leads_to
        self._is_chosen = is_chosen
        self._origin = origin(url)
        self._redirects = 0

    def host(self) -> tuple[str, int]:
        """(host, port) to look up. Raises: SourceRefused (`SourceForbidden`) where the list does not have it."""
        if not is_allowed(self.url, self._listed):
            listed = ", ".join(self._listed) or "none"
            there = self._there()
            raise SourceRefused(Reason.SOURCE_FORBIDDEN, f"{there} is not allowed; allowed hosts: {listed}")
        return host_and_port(self.url)

    def addresses(self, found: Iterable[str]) -> tuple[str, ...]:
        """Of the addresses that the host has, those to connect to, and no others.

        Raises:
            SourceRefused: `SourceForbidden` where none may be connected to.
        """
        if self._is_chosen and self.is_at_home:
            return tuple(found)
        may = permitted(found, host_and_port(self.url)[1], self._listed)
        if not may:
            message = f"{self._there()} has no public address; private ones must be among the allowed hosts, one by one"
            raise SourceRefused(Reason.SOURCE_FORBIDDEN, f"{message} or as a range")
        return may

    def headers(self) -> dict[str, str]:
        """What the next request says of who asks.

        Raises:
            SourceRefused: `SourceForbidden` where a token would go there that everybody on the way can read.
        """
        if self._authorization is None or not self.is_at_home:
            return {}
        if not may_carry_credentials(self.url, self._hosts):
            message = f"{self.shown}: a token is sent by https only, or to a host that is allowed as http://HOST:PORT"
            raise SourceRefused(Reason.SOURCE_FORBIDDEN, message)
        return {"authorization": self._authorization.get_secret_value()}

    @property
    def is_at_home(self) -> bool:
        """Whether the server that is asked next is the one that the address named at first."""
        return self._origin is not None and origin(self.url) == self._origin

    def answered(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether the answer is the file; if not it is a redirect, and `url` is where to ask next.

        Raises:
            SourceRefused: it is neither, or one redirect too many.
        """
        if status in _FILE:
            return True
        location = headers.get("location")
        if status not in _REDIRECTS or location is None:
            raise self._refusal(status, headers)
        self._redirects += 1
        if self._redirects > MAX_REDIRECTS:
            message = f"{self.shown} redirects more than {MAX_REDIRECTS} times"
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, message)
        try:
            self.url = urljoin(self.url, location)
        except ValueError as error:
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, f"{self.shown} redirects to no address") from error
        return False

    @property
    def _listed(self) -> Collection[str]:
        return self._leads_to if self._redirects else self._hosts

    def _there(self) -> str:
        """The host that is asked, with the address that led to it if it is another."""
        scheme, _, rest = plain(self.url).partition("://")
        here = f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"
        return here if self._redirects == 0 else f"{self.shown} leads to {here}, which"
