"""The key that pictures are signed with, from a mounted Secret of type `kubernetes.io/tls`: renewed without a restart.

`tls.crt`: its certificate, then those up to the root; `tls.key`; `previous.crt`, where there is one: certificates of
keys that pictures were signed with before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

log = structlog.get_logger(__name__)

FRESH_S: Final = 10.0
_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
_PREVIOUS: Final = "previous.crt"
# A Secret has 1 MiB in all.
_MOST_BYTES: Final = 1 << 20

_Files = tuple[bytes, bytes, bytes]


class SigningKeyUnusable(Exception):
    """There is no key for pictures, or none that can be used; the message says which file, and nothing of the key."""


@dataclass(frozen=True)
class SigningKey:
    """The key of now, and whose pictures are this installation's.

    Attributes:
        chain: certificates in PEM, the key's own first.
        key: in PEM.
        public_keys: in DER; of this key and of those before it.
    """

    chain: bytes
    key: bytes = field(repr=False)
    public_keys: tuple[bytes, ...]


class ContentKeys:
    """The key that lies in the folder now. Files that are none, or not of one pair, change nothing."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises: SigningKeyUnusable."""
        self._folder = folder
        self._clock = clock
        self._files = _read(folder)
        self._current = _loaded(folder, self._files)
        self._looked_at = clock()

    def current(self) -> SigningKey:
        """Looked at again after a moment."""
        if self._clock() - self._looked_at >= FRESH_S:
            self._looked_at = self._clock()
            self._renew()
        return self._current

    def _renew(self) -> None:
        try:
            files = _read(self._folder)
            if files != self._files:
                self._current = _loaded(self._folder, files)
                self._files = files
                log.info("the key for pictures was renewed", folder=str(self._folder))
        except SigningKeyUnusable as error:
            log.warning("the key for pictures cannot be renewed; the one before stays", error=str(error))


def _read(folder: Path) -> _Files:
    try:
        certificate, key = _content(folder / _CERTIFICATE), _content(folder / _KEY)
        previous = _content(folder / _PREVIOUS) if (folder / _PREVIOUS).exists() else b""
    except OSError as error:
        raise SigningKeyUnusable(f"{error.filename}: {error.strerror}") from error
    return certificate, key, previous


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_MOST_BYTES)


def _loaded(folder: Path, files: _Files) -> SigningKey:
    chain, key, previous = files
    certificates = _certificates(folder / _CERTIFICATE, chain)
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the library says may hold a part of the key.
        raise SigningKeyUnusable(f"{folder / _KEY} is no private key in PEM, without a password") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise SigningKeyUnusable(f"{folder / _KEY} is no key of the curve P-256: pictures are signed with ES256")
    if _public(certificates[0]) != private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise SigningKeyUnusable(f"the first certificate of {folder / _CERTIFICATE} is not that of its key")
    older = _certificates(folder / _PREVIOUS, previous) if previous.strip() else []
    known = (certificates[0], *older)
    return SigningKey(chain, key, tuple(dict.fromkeys(map(_public, known))))


def _certificates(file: Path, pem: bytes) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(pem)
    except ValueError:
        raise SigningKeyUnusable(f"{file} holds no certificate in PEM") from None


def _public(certificate: Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyUnusable("a certificate has a key of a kind that is not known") from None
