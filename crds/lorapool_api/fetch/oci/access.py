"""Who may pull: the challenge of a registry, its token service, and what goes to whom.

The token protocol (https://distribution.github.io/distribution/spec/auth/token/): a registry answers 401 and names a
service, which gives a token for the repository, to anybody or to whom it knows; the token goes to the registry.
The service's address is the registry's word, so it must be on the installation's list too.
"""

import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from lorapool_api.fetch.hosts import is_allowed
from lorapool_api.fetch.oci.reference import OciReference
from lorapool_api.fetch.policy import EVERYWHERE, SourceRefused, UrlFetch, plain, refused_by_status
from lorapool_api.kinds.conditions import Reason

MAX_TOKEN_ANSWER_BYTES: Final = 64 * 1024
USERNAME, PASSWORD = "username", "password"
_MAX_CHALLENGE: Final = 2048
_UNAUTHORIZED, _NOT_FOUND = 401, 404
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_PART: Final = re.compile(
    r"\b(?P<scheme>[A-Za-z]++)(?=\s+[A-Za-z_]++\s*=)|\b(?P<key>[A-Za-z_]++)\s*=\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<bare>[^\s,\"]+))"
)


class PullUnauthorized(SourceRefused):
    """The registry asks who is there; `challenge` is its WWW-Authenticate."""

    def __init__(self, shown: str, challenge: str) -> None:
        super().__init__(
            Reason.SOURCE_FORBIDDEN, f"{shown}: the registry does not let it be pulled without credentials"
        )
        self.challenge = challenge


@dataclass(frozen=True)
class _Challenge:
    scheme: str
    parameters: Mapping[str, str]


class _Granted(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    token: str | None = None
    access_token: str | None = None


class RegistryAccess:
    """Requests to one repository, and the authorization that they need. Does no input or output.

    Whoever does asks `fetch` whom to ask, gives a `PullUnauthorized` to `challenged`, what comes of that to `granted`.
    """

    def __init__(
        self, reference: OciReference, hosts: Collection[str], credentials: Mapping[str, SecretStr] | None = None
    ) -> None:
        """
        Args:
            hosts: those of `lorapool_api.fetch.hosts`.
            credentials: `USERNAME` and `PASSWORD`; without them the registry is asked as anybody.
        """
        self._reference = reference
        self._hosts = hosts
        self._basic = _basic(credentials or {})
        self._authorization: SecretStr | None = None

    def fetch(self, path: str, what: str) -> UrlFetch:
        """A request below the repository. A registry may keep blobs elsewhere: at any public address.

        Args:
            what: is asked for, for messages.
        """
        shown = f"{self._reference}: {what}"

        def refusal(status: int, headers: Mapping[str, str]) -> SourceRefused:
            if status == _UNAUTHORIZED and fetch.is_at_home:
                return PullUnauthorized(shown, headers.get("www-authenticate", "")[:_MAX_CHALLENGE])
            if status == _NOT_FOUND:
                return SourceRefused(Reason.SOURCE_NOT_FOUND, f"{self._reference}: the registry has no such {what}")
            return refused_by_status(shown, status, headers)

        fetch = UrlFetch(
            f"{self._reference.url(self._hosts)}/{path}",
            self._hosts,
            shown=shown,
            refusal=refusal,
            leads_to=(*EVERYWHERE, *self._hosts),
            authorization=self._authorization,
        )
        return fetch

    def challenged(self, refused: PullUnauthorized) -> UrlFetch | None:
        """The request for a token; None: there is none to ask for, and the registry may be asked again as it is.

        Raises:
            SourceRefused: nothing can be said to the challenge, or it names a service that may not be asked.
        """
        asked = {challenge.scheme: challenge.parameters for challenge in _challenges(refused.challenge)}
        if "bearer" in asked:
            return self._token_fetch(asked["bearer"])
        if "basic" not in asked or self._basic is None or self._authorization == self._basic:
            raise SourceRefused(refused.reason, refused.message)
        self._authorization = self._basic
        return None

    def granted(self, body: bytes) -> None:
        """Take the token service's answer. Raises: SourceRefused: there is no token in it."""
        try:
            answer = _Granted.model_validate_json(body)
        except ValidationError:
            answer = _Granted()
        token = answer.token or answer.access_token or ""
        if not _TOKEN.fullmatch(token):
            message = f"{self._reference}: the answer of the registry's token service is not understood"
            raise SourceRefused(Reason.SOURCE_UNAVAILABLE, message)
        self._authorization = SecretStr(f"Bearer {token}")

    def _token_fetch(self, parameters: Mapping[str, str]) -> UrlFetch:
        realm = parameters.get("realm", "")
        registry = self._reference.url(self._hosts)
        if not is_allowed(realm, self._hosts) or realm[:5] != registry[:5] == "https":
            listed = ", ".join(self._hosts) or "none"
            message = f"{self._reference}: its token service is at {_server(realm)}, which is not allowed"
            raise SourceRefused(Reason.SOURCE_FORBIDDEN, f"{message}; allowed hosts: {listed}")
        # The registry does not say for what: a token for more than to pull this is never asked for.
        query = {"scope": f"repository:{self._reference.repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        shown = f"{self._reference}: the registry's token service"
        return UrlFetch(
            f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}",
            self._hosts,
            shown=shown,
            authorization=self._basic,
        )


def _challenges(header: str) -> Iterator[_Challenge]:
    """The challenges of a WWW-Authenticate (RFC 9110, 11.6.1), schemes and names in lower case."""
    scheme, parameters = "", dict[str, str]()
    for part in _PART.finditer(header):
        if part["scheme"]:
            if scheme:
                yield _Challenge(scheme, parameters)
            scheme, parameters = part["scheme"].lower(), {}
        else:
            parameters[part["key"].lower()] = part["quoted"] if part["bare"] is None else part["bare"]
    if scheme:
        yield _Challenge(scheme, parameters)


def _basic(credentials: Mapping[str, SecretStr]) -> SecretStr | None:
    if USERNAME not in credentials or PASSWORD not in credentials:
        return None
    pair = ":".join(credentials[name].get_secret_value() for name in (USERNAME, PASSWORD))
    return SecretStr("Basic " + b64encode(pair.encode()).decode())


def _server(url: str) -> str:
    """Scheme and host, for messages."""
    return "/".join(plain(url).split("/")[:3])[:200] or "no address"
