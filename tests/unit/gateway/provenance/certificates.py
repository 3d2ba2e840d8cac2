"""Certificates and keys that pictures are signed with, as somebody would make them with openssl."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority(name: str = "an authority") -> Pair:
    """A root that signs certificates of others."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = _builder(name, name, key, datetime.now(UTC) - 2 * YEAR, datetime.now(UTC) + 9 * YEAR)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return Pair(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


def issued(
    root: Pair,
    name: str = "lorapool of a test",
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = YEAR,
    curve: ec.EllipticCurve | None = None,
) -> Pair:
    """A key for pictures: C2PA asks for a digital signature, and for a purpose that is not a server's."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    now = datetime.now(UTC)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    made = (
        _builder(name, "an authority", key, now + begins, now + ends)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(issuer, critical=False)
    )
    return Pair(key, made.sign(root.key, hashes.SHA256()))


def write(folder: Path, pair: Pair, root: Pair, *previous: Pair) -> Path:
    """The folder as the Secret is mounted."""
    folder.mkdir(exist_ok=True)
    (folder / "tls.crt").write_bytes(pair.certificate_pem + root.certificate_pem)
    (folder / "tls.key").write_bytes(pair.key_pem)
    if previous:
        (folder / "previous.crt").write_bytes(b"".join(one.certificate_pem for one in previous))
    return folder


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(issuer)).public_key(key.public_key())
    )
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
    return builder.add_extension(identity, critical=False)


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a studio")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common), organization])
