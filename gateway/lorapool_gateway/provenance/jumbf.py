"""The claim of a manifest and its signature, from the boxes that they lie in, and by whose key it was signed: pure.

Boxes are those of ISO/IEC 19566-5 (JUMBF): four bytes of length, four of type, content; a box `jumb` has a box `jumd`
with its label first. The signature is a COSE_Sign1 (RFC 9052, 4.2 and 4.4) whose payload, left out, is the claim.

The library that reads manifests says whether a signature is that of the certificate beside it, not by whose key it is
beyond a name, which anybody may give himself. This says it of keys that are known, also when certificates have ended.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

_HEAD: Final = 8
_LARGE_HEAD: Final = 16
_LABEL_AT: Final = 17  # after 16 bytes of a UUID and one of switches
_SIGN1_TAG: Final = 18
_ALG: Final = 1
_ES256: Final = -7
_NUMBER_BYTES: Final = 32
_CLAIMS: Final = ("c2pa.claim.v2", "c2pa.claim")
_SIGNATURE: Final = "c2pa.signature"


def is_signed_by(store: bytes, label: str, public_keys: Iterable[bytes]) -> bool:
    """Whether one of these keys (DER) signed the claim of the manifest, which is the last of the store.

    Raises:
        ValueError: the store is none, or says something twice.
    """
    claim, signature = _claim_of(store, label)
    try:
        sign1 = cbor2.loads(signature)
        protected, _, payload, numbers = sign1.value
        is_es256 = sign1.tag == _SIGN1_TAG and cbor2.loads(protected)[_ALG] == _ES256 and payload is None
    except (cbor2.CBORDecodeError, AttributeError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError("the signature is no COSE_Sign1") from error
    if not is_es256 or not isinstance(numbers, bytes) or len(numbers) != 2 * _NUMBER_BYTES:
        return False
    signed = cbor2.dumps(["Signature1", protected, b"", claim])
    r, s = (int.from_bytes(part, "big") for part in (numbers[:_NUMBER_BYTES], numbers[_NUMBER_BYTES:]))
    return any(_is_of(key, encode_dss_signature(r, s), signed) for key in public_keys)


def _is_of(key: bytes, signature: bytes, signed: bytes) -> bool:
    public = load_der_public_key(key)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        public.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _claim_of(store: bytes, label: str) -> tuple[bytes, bytes]:
    """Claim and signature. What is there twice could be read otherwise by another reader."""
    (root,) = [content for kind, content in _boxes(store) if kind == b"jumb"]
    manifests = list(_labelled(root))
    if [name for name, _ in manifests].count(label) != 1 or manifests[-1][0] != label:
        raise ValueError("the manifest is not the last of its store, or there twice")
    parts = list(_labelled(manifests[-1][1]))
    claims = [content for name, content in parts if name in _CLAIMS]
    signatures = [content for name, content in parts if name == _SIGNATURE]
    if len(claims) != 1 or len(signatures) != 1:
        raise ValueError("the manifest has no claim, or two")
    return _cbor(claims[0]), _cbor(signatures[0])


def _labelled(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Label and content of each `jumb` box among these; a content begins with the box that labels it."""
    for kind, inner in _boxes(content):
        if kind == b"jumb":
            described = next(_boxes(inner), (b"", b""))
            if described[0] != b"jumd":
                raise ValueError("a box has no label")
            yield described[1][_LABEL_AT:].partition(b"\0")[0].decode("utf-8", "replace"), inner


def _cbor(content: bytes) -> bytes:
    (found,) = [inner for kind, inner in _boxes(content) if kind == b"cbor"]
    return found


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + _HEAD], _HEAD
        if length == 1:
            length, head = int.from_bytes(data[at + _HEAD : at + _LARGE_HEAD], "big"), _LARGE_HEAD
        if length == 0:
            length = len(data) - at
        if length < head or at + length > len(data):
            raise ValueError("a box is longer than what it lies in")
        yield kind, data[at + head : at + length]
        at += length
