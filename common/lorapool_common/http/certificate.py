"""The certificate of a server, from a mounted Secret of type `kubernetes.io/tls`: renewed without a restart."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

FRESH_S: Final = 10.0
_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"


class CertificateError(Exception):
    """There is no certificate, or none that can be used; the message says which file."""


class ServerCertificate:
    """What new connections get: the certificate that lies in the folder now.

    Looked at again by the first connection after a moment. Connections that are open keep theirs, and files that are no
    certificate, or one with another's key, change nothing.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises: CertificateError."""
        self._folder = folder
        self._clock = clock
        self._files = self._read()
        self._current = self._load()
        self._looked_at = clock()
        self.context: Final = self._current
        """What a server listens with, for as long as it lives."""
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called within each handshake, also of clients that name no server."""
        if self._clock() - self._looked_at >= FRESH_S:
            self._looked_at = self._clock()
            self._renew()
        connection.context = self._current

    def _renew(self) -> None:
        try:
            files = self._read()
            if files != self._files:
                self._current = self._load()
                self._files = files
                log.info("the certificate was renewed", folder=str(self._folder))
        except CertificateError as error:
            # The next look finds both files of one version: Kubernetes replaces them in one step.
            log.warning("the certificate cannot be renewed; the one before stays", error=str(error))

    def _read(self) -> tuple[bytes, bytes]:
        try:
            return (self._folder / _CERTIFICATE).read_bytes(), (self._folder / _KEY).read_bytes()
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)  # TLS 1.2 and newer; no client certificates
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._folder / _CERTIFICATE, self._folder / _KEY)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(f"{self._folder} holds no certificate with its key: {error}") from error
        return context
