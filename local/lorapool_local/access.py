"""Credentials of the plane's own programs for its servers."""

from pathlib import Path

from lorapool_common.kube.access import ClusterAccess
from lorapool_local.pki import KeyPair


def plane_access(
    server: str, authority: Path, *, token: str | None = None, pair: KeyPair | None = None
) -> ClusterAccess:
    """Trusts the plane's authority, and is known by a token or a certificate."""
    return ClusterAccess(
        server,
        authority.read_text(),
        certificate=pair.certificate.read_text() if pair else None,
        key=pair.key.read_text() if pair else None,
        token=token,
    )
