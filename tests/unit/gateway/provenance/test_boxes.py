"""By whose key a claim was signed, of boxes that may say anything."""

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lorapool_gateway.provenance.jumbf import is_signed_by

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
LABEL = "urn:c2pa:1"
CLAIM = b"a claim"
ES256 = cbor2.dumps({1: -7})


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def labelled(label: str, *parts: bytes) -> bytes:
    return box(b"jumb", box(b"jumd", bytes(16) + b"\3" + label.encode() + b"\0") + b"".join(parts))


def signature(key: ec.EllipticCurvePrivateKey = KEY, claim: bytes = CLAIM, protected: bytes = ES256) -> bytes:
    """A COSE_Sign1 over the claim, which is not in it."""
    signed = cbor2.dumps(["Signature1", protected, b"", claim])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, None, r.to_bytes(32, "big") + s.to_bytes(32, "big")]))


def manifest(*, label: str = LABEL, claim: bytes = CLAIM, sign1: bytes | None = None) -> bytes:
    sign1 = signature() if sign1 is None else sign1
    parts = (labelled("c2pa.claim.v2", box(b"cbor", claim)), labelled("c2pa.signature", box(b"cbor", sign1)))
    return labelled(label, *parts)


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_it_is_signed_by_the_key_that_signed_it_and_by_no_other() -> None:
    store = labelled("c2pa", manifest(label="urn:c2pa:0", sign1=signature(OTHER)), manifest())
    assert is_signed_by(store, LABEL, [public(OTHER), public(KEY)])
    assert not is_signed_by(store, LABEL, [public(OTHER)])
    assert not is_signed_by(store, LABEL, [])


@pytest.mark.parametrize(
    "made",
    [
        manifest(claim=b"another claim"),
        manifest(sign1=signature(protected=cbor2.dumps({1: -35}))),
        manifest(sign1=cbor2.dumps(cbor2.CBORTag(18, [ES256, {}, None, b"short"]))),
        manifest(sign1=cbor2.dumps(cbor2.CBORTag(18, [ES256, {}, CLAIM, bytes(64)]))),
        manifest(sign1=cbor2.dumps(cbor2.CBORTag(18, [ES256, {}, None, bytes(64)]))),
        manifest(sign1=cbor2.dumps(cbor2.CBORTag(98, [ES256, {}, None, bytes(64)]))),
    ],
    ids=["another claim", "another algorithm", "short", "a payload", "zeros", "another kind"],
)
def test_what_is_no_such_signature_is_nobodys(made: bytes) -> None:
    assert not is_signed_by(labelled("c2pa", made), LABEL, [public(KEY)])


@pytest.mark.parametrize(
    "store",
    [
        b"",
        b"jumb",
        box(b"jumb", b""),
        labelled("c2pa"),
        labelled("c2pa", manifest(), manifest(label="urn:c2pa:2")),
        labelled("c2pa", manifest(), manifest()),
        labelled("c2pa", manifest()) * 2,
        labelled("c2pa", labelled(LABEL, labelled("c2pa.claim.v2", box(b"cbor", CLAIM)))),
        labelled("c2pa", labelled(LABEL, *[labelled("c2pa.claim.v2", box(b"cbor", CLAIM))] * 2)),
        labelled("c2pa", box(b"jumb", box(b"cbor", CLAIM))),
        labelled("c2pa", manifest(sign1=b"\xff")),
        labelled("c2pa", manifest(sign1=b"\x81" * 5000)),
        labelled("c2pa", manifest(sign1=cbor2.dumps([1, 2, 3, 4]))),
        labelled("c2pa", manifest(sign1=cbor2.dumps(cbor2.CBORTag(18, [1])))),
        (1 << 31).to_bytes(4, "big") + b"jumb",
        (1).to_bytes(4, "big") + b"jumb" + (1 << 62).to_bytes(8, "big"),
        (3).to_bytes(4, "big") + b"jumb",
    ],
)
def test_a_store_that_is_none_or_says_something_twice_is_refused(store: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- any: it is not read further
        is_signed_by(store, LABEL, [public(KEY)])
