"""The address of the API server, and the credentials for it."""

import base64
import ssl
import tempfile
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Final, Self

from lorapool_common.kube.errors import AccessError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# A file with a token is read again after this time, as in client-go: it is replaced long before the token expires.
TOKEN_FILE_S: Final = 60.0


@dataclass(frozen=True)
class ClusterAccess:
    """An address of the API server, whom to trust there, and credentials.

    Attributes:
        authority: certificates to trust, PEM; None: those that the system trusts.
        certificate, key: of the client, PEM.
        token: sent as bearer; credentials that are read again when they are refused.
        basic: user and password.
        server_name: what the server's certificate must name, where that is not the host of the address.
        is_insecure: whether the server's certificate is taken unseen.
        fresh_s: after how long the token is read anew; None: when it is refused.
    """

    server: str
    authority: str | None = None
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    server_name: str | None = None
    proxy: str | None = None
    is_insecure: bool = False
    fresh_s: float | None = None

    @classmethod
    def in_cluster(cls, folder: Path = SERVICE_ACCOUNT) -> Self:
        """As the ServiceAccount of this pod. Raises: AccessError."""
        host = environ.get("KUBERNETES_SERVICE_HOST", "")
        port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        try:
            token, authority = (folder / "token").read_text().strip(), (folder / "ca.crt").read_text()
        except OSError as error:
            raise AccessError(f"no ServiceAccount is mounted: {error}") from error
        if not token:
            raise AccessError(f"the ServiceAccount's token is empty: {folder / 'token'}")
        return cls(
            f"https://{f'[{host}]' if ':' in host else host}:{port}", authority, token=token, fresh_s=TOKEN_FILE_S
        )

    @property
    def authorization(self) -> str | None:
        """The value of the header."""
        if self.token:
            return f"Bearer {self.token}"
        return f"Basic {base64.b64encode(':'.join(self.basic).encode()).decode()}" if self.basic else None

    def tls(self) -> ssl.SSLContext:
        """Raises: AccessError, where a certificate or key cannot be read."""
        try:
            context = ssl.create_default_context(cadata=self.authority)
            if self.certificate and self.key:
                _load_pair(context, self.certificate, self.key)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise AccessError(f"the certificates for {self.server} cannot be used: {error}") from error
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load both through a temporary file: `ssl` reads keys from files only."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"{certificate.rstrip()}\n{key.rstrip()}\n")
        file.flush()
        context.load_cert_chain(file.name)
