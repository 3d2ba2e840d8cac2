"""Signing with the keys that a mounted Secret holds now."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from lorapool_common.signed.calls import SignedCall, Signer
from lorapool_common.signed.keys import KeyUnusable, read_keys, signing_key

log = structlog.get_logger(__name__)

# Kubernetes renews the files of a changed Secret within a minute or two: looking more often finds nothing sooner.
FRESH_S: Final = 10.0


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
        self._file = file
        self._use = use
        self._clock = clock
        self._secrets = read_keys(file)
        self._signer = _signer(self._secrets, use)
        self._read_at = clock()

    def token(self, call: SignedCall) -> str:
        """The tokens by commas, one for each key."""
        if self._clock() - self._read_at >= FRESH_S:
            self._read_at = self._clock()
            self._renew()
        return self._signer.token(call)

    def _renew(self) -> None:
        """A file that cannot be read just now leaves the keys as they are."""
        try:
            found = read_keys(self._file)
        except KeyUnusable as error:
            log.warning("keys cannot be read: those before stay", error=str(error))
            return
        if found != self._secrets:
            self._secrets, self._signer = found, _signer(found, self._use)
            log.info("requests are signed with other keys", keys=len(found))


def _signer(secrets: tuple[bytes, ...], use: str) -> Signer:
    return Signer([signing_key(secret, use) for secret in secrets])
