"""Keys by which one process signs and others verify: derived from the random bytes of a mounted Secret.

Ed25519: who verifies knows nothing secret. A key's public part can stand in a manifest, and whoever reads it there can
sign nothing.
"""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_KEY_BYTES: Final = 16
_PREVIOUS: Final = ".previous"


class KeyUnusable(Exception):
    """A key cannot be read, or is none; the message says what is missing."""


def read_keys(file: Path) -> tuple[bytes, ...]:
    """The bytes in the file, and those before them where they are still there (`<file>.previous`): while a key is
    replaced both count.

    Raises:
        KeyUnusable: the file cannot be read, or one of the two holds too little.
    """
    previous = file.with_name(file.name + _PREVIOUS)
    try:
        keys = (file.read_bytes(), *((previous.read_bytes(),) if previous.exists() else ()))
    except OSError as error:
        raise KeyUnusable(f"the key cannot be read: {error}") from error
    if short := [len(key) for key in keys if len(key) < MIN_KEY_BYTES]:
        raise KeyUnusable(f"{file} holds {short[0]} bytes; at least {MIN_KEY_BYTES} are needed")
    return keys


def signing_key(secret: bytes, use: str) -> Ed25519PrivateKey:
    """The key for that use, always the same for the same bytes; keys for other uses tell nothing of it."""
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=use.encode()).derive(secret)
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_text(key: Ed25519PrivateKey) -> str:
    """The public part, as manifests hold it: the key's 32 bytes in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """The inverse of `public_text`. Raises: KeyUnusable."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise KeyUnusable(f"no public key: {error}") from error


def key_id(text: str) -> str:
    """By which a token names the key that signed it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
