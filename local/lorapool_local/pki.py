"""A certificate authority of the plane's own, and the certificates that it signs.

The authority and the key of ServiceAccount tokens outlive a restart, so that tokens and kubeconfigs handed out
before it stay good. Everything else is issued anew at every start: addresses may have changed.
"""

import datetime
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lorapool_common.files import write_atomically

_VALID_FOR = datetime.timedelta(days=3650)
# Clocks of containers and virtual machines differ by a little.
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class KeyPair:
    """Files in PEM form."""

    certificate: Path
    key: Path


class Authority:
    """Signs the certificates of one plane."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._folder = folder
        self._certificate = certificate
        self._key = key

    @property
    def certificate_file(self) -> Path:
        return self._folder / "ca.crt"

    def issue(
        self, file_name: str, common_name: str, organizations: Sequence[str] = (), addresses: Sequence[str] = ()
    ) -> KeyPair:
        """A certificate for a client (its name and groups) that may also serve at these addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(common_name, organizations), self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if addresses:
            builder = builder.add_extension(_alternative_names(addresses), critical=False)
        return _write_pair(self._folder, file_name, builder.sign(self._key, hashes.SHA256()), key)


def load_or_create_authority(folder: Path) -> Authority:
    """The authority whose key and certificate lie in the folder. Raises: TypeError, ValueError for another's key."""
    pair = KeyPair(folder / "ca.crt", folder / "ca.key")
    if pair.certificate.exists() and pair.key.exists():
        key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{pair.key} holds no elliptic-curve key")
        return Authority(folder, x509.load_pem_x509_certificate(pair.certificate.read_bytes()), key)
    return _create_authority(folder)


def load_or_create_signing_key(folder: Path) -> Path:
    """The key that signs ServiceAccount tokens."""
    path = folder / "service-account.key"
    if not path.exists():
        write_atomically(path, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    return path


def load_or_create_token(folder: Path, name: str) -> str:
    """A random bearer token under this name."""
    path = folder / f"{name}.token"
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32))
    return path.read_text()


def _create_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # A random name, by which people tell the authorities of two planes apart.
    name = _name(f"lorapool-{secrets.token_hex(4)}", ())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(folder, "ca", certificate, key)
    return Authority(folder, certificate, key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID_FOR)
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names(addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative_name(address) for address in addresses])


def _alternative_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _write_pair(
    folder: Path, file_name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> KeyPair:
    pair = KeyPair(folder / f"{file_name}.crt", folder / f"{file_name}.key")
    write_atomically(pair.key, _key_pem(key))
    write_atomically(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    return pair


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
