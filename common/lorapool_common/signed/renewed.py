"""Signing with the keys that a mounted Secret holds now."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from lorapool_common.signed.calls import SignedCall, Signer, Verifier
from lorapool_common.signed.keys import KeyUnusable, public_text, read_keys, signing_key

log = structlog.get_logger(__name__)

# Kubernetes renews the files of a changed Secret within a minute or two: looking more often finds nothing sooner.
FRESH_S: Final = 10.0


class RenewedKeys:
    """The keys of a file and those before them, read anew now and then."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises: KeyUnusable: there are none."""
        self._file = file
        self._clock = clock
        self._secrets = read_keys(file)
        self._read_at = clock()

    def current(self) -> tuple[bytes, ...]:
        """The keys, the newest first. A file that cannot be read just now leaves them as they are."""
        if self._clock() - self._read_at >= FRESH_S:
            self._read_at = self._clock()
            try:
                self._secrets = read_keys(self._file)
            except KeyUnusable as error:
                log.warning("keys cannot be read: those before stay", error=str(error))
        return self._secrets


class RenewedSigner:
    """Signs as a `Signer` with the keys of a file and of those before them, read anew now and then.

    A process that was started with the keys before would else sign with those alone, and pods that trust the new one
    refuse it until it is restarted.
    """

    def __init__(self, file: Path, use: str, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            use: what the keys are for, as `signing_key` has it.

        Raises:
            KeyUnusable: there are none.
        """
        self._keys = RenewedKeys(file, clock)
        self._use = use
        self._secrets = self._keys.current()
        self._signer = _signer(self._secrets, use)

    def token(self, call: SignedCall) -> str:
        """The tokens by commas, one for each key."""
        found = self._keys.current()
        if found != self._secrets:
            self._secrets, self._signer = found, _signer(found, self._use)
            log.info("requests are signed with other keys", keys=len(found))
        return self._signer.token(call)


class RenewedVerifier:
    """Takes each call once, as a `Verifier`, that one of the keys has signed which there are now."""

    def __init__(
        self,
        keys: Callable[[], tuple[bytes, ...]],
        use: str,
        place: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            use: what the keys are for, as `signing_key` has it.
            place: host and port of this process.
        """
        self._keys = keys
        self._use = use
        self._place = place
        self._clock = clock
        self._secrets = keys()
        self._verifier = self._made()

    def check(self, tokens: str, method: str, target: str) -> str:
        """The sha256 that the call's body must have. Raises: NotSigned."""
        found = self._keys()
        if found != self._secrets:
            self._secrets = found
            self._verifier = self._made()
        return self._verifier.check(tokens, method, target)

    def _made(self) -> Verifier:
        public = [public_text(signing_key(secret, self._use)) for secret in self._secrets]
        return Verifier(public, self._place, self._clock)


def _signer(secrets: tuple[bytes, ...], use: str) -> Signer:
    return Signer([signing_key(secret, use) for secret in secrets])
