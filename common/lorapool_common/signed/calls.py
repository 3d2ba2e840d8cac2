"""A call over HTTP, signed: a token (JWT, EdDSA) for one method, address and body, after RFC 9449.

It says by its claims what it is good for: `aud` whom, `htm` and `htu` which call, `sha256` which body, `iat` when, and
`jti` makes it another than all before. Who verifies takes each one once.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.types import Options

from lorapool_common.signed.keys import key_id, public_key, public_text

# Of a signed call: tokens by commas.
SIGNATURE_HEADER: Final = "x-lorapool-signature"
# How far the clocks of two nodes may be apart, the way between them included.
SKEW_S: Final = 60.0
# A token is remembered for as long as it could be taken. More are in flight nowhere: then the oldest is forgotten.
MOST_REMEMBERED: Final = 100_000
_MAX_CHARACTERS: Final = 4096
_MOST_TOKENS: Final = 3
_ALGORITHM: Final = "EdDSA"
# Place and time are looked at here: by the given clock, and for the given place.
_CHECKED: Final[Options] = {
    "require": ["aud", "htm", "htu", "sha256", "iat", "jti"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_exp": False,
    "verify_nbf": False,
}
NO_BODY: Final = hashlib.sha256(b"").hexdigest()


class NotSigned(Exception):
    """The call is not one that a known key has signed, just now and for this place; the message says why."""


@dataclass(frozen=True)
class SignedCall:
    """What a token is good for.

    Attributes:
        place: host and port of who is asked.
        target: path and query as they are sent.
        sha256: of the body, in hexadecimal digits.
    """

    place: str
    method: str
    target: str
    sha256: str = NO_BODY


class Signs(Protocol):
    """Whoever signs calls."""

    def token(self, call: SignedCall) -> str:
        """The tokens by commas."""


class Signer:
    """Signs calls with each of its keys: who knows one of them takes the call."""

    def __init__(self, keys: Sequence[Ed25519PrivateKey], clock: Callable[[], float] = time.time) -> None:
        self._keys = [(key, key_id(public_text(key))) for key in keys]
        self._clock = clock

    def token(self, call: SignedCall) -> str:
        """The tokens by commas, one for each key."""
        claims: dict[str, Any] = {
            "aud": call.place,
            "htm": call.method,
            "htu": call.target,
            "sha256": call.sha256,
            "iat": self._clock(),
            "jti": secrets.token_urlsafe(16),
        }
        return ",".join(jwt.encode(claims, key, _ALGORITHM, headers={"kid": kid}) for key, kid in self._keys)


class Verifier:
    """Takes each call once that one of these keys has signed."""

    def __init__(
        self,
        keys: Sequence[str],
        place: str,
        clock: Callable[[], float] = time.time,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        """
        Args:
            keys: public parts, as `public_text` writes them.
            place: host and port of this process.

        Raises:
            KeyUnusable: one of them is none.
        """
        self._keys = {key_id(text): public_key(text) for text in keys}
        self._place = place
        self._clock = clock
        self._most = most_remembered
        self._taken: OrderedDict[str, float] = OrderedDict()

    def check(self, tokens: str, method: str, target: str) -> str:
        """The sha256 that the call's body must have. Raises: NotSigned."""
        if not tokens:
            raise NotSigned("it is not signed")
        claims = self._claims(tokens)
        if (claims["aud"], claims["htm"], claims["htu"]) != (self._place, method, target):
            raise NotSigned("it was signed for another call")
        now = self._clock()
        if not isinstance(claims["iat"], int | float) or abs(now - claims["iat"]) > SKEW_S:
            raise NotSigned(f"it was not signed just now: the clocks are more than {SKEW_S:.0f} s apart, or it is old")
        self._take(str(claims["jti"]), now)
        return str(claims["sha256"])

    def _claims(self, tokens: str) -> dict[str, Any]:
        if len(tokens) > _MAX_CHARACTERS:
            raise NotSigned("its signature is too long")
        for token in tokens.split(",")[:_MOST_TOKENS]:
            try:
                key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
                if key is not None:
                    return jwt.decode(token, key, [_ALGORITHM], options=_CHECKED)
            except jwt.InvalidTokenError:
                continue
        raise NotSigned("no known key has signed it")

    def _take(self, one: str, now: float) -> None:
        """Note that it was used. Raises: NotSigned, where it was used before."""
        while self._taken and (next(iter(self._taken.values())) < now or len(self._taken) >= self._most):
            self._taken.popitem(last=False)
        if one in self._taken:
            raise NotSigned("it was used before")
        self._taken[one] = now + 2 * SKEW_S
