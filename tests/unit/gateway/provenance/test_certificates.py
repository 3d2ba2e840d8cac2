"""The key that pictures are signed with: from a folder, and renewed without a restart."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.gateway.provenance import certificates

from lorapool_gateway.provenance.certificates import FRESH_S, ContentKeys, SigningKeyUnusable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_new_key_counts_after_a_moment_and_a_broken_one_never(root: certificates.Pair, tmp_path: Path) -> None:
    clock, first, second = Clock(), certificates.issued(root), certificates.issued(root)
    keys = ContentKeys(certificates.write(tmp_path, first, root), clock)
    certificates.write(tmp_path, second, root, first)
    assert keys.current().key == first.key_pem
    clock.now += FRESH_S
    assert keys.current().key == second.key_pem
    assert len(keys.current().public_keys) == 2

    (tmp_path / "tls.key").write_bytes(first.key_pem)  # not of its certificate any more
    clock.now += FRESH_S
    assert keys.current().key == second.key_pem
    (tmp_path / "tls.key").unlink()
    clock.now += FRESH_S
    assert keys.current().key == second.key_pem


def test_what_cannot_sign_is_said_without_a_word_of_the_key(root: certificates.Pair, tmp_path: Path) -> None:
    pair = certificates.issued(root)
    with pytest.raises(SigningKeyUnusable, match=r"tls\.crt: No such file"):
        ContentKeys(tmp_path)
    certificates.write(tmp_path, certificates.issued(root, curve=ec.SECP384R1()), root)
    with pytest.raises(SigningKeyUnusable, match="P-256"):
        ContentKeys(tmp_path)
    certificates.write(tmp_path, pair, root)
    secret = pair.key_pem.splitlines()[2].decode()
    (tmp_path / "tls.key").write_bytes(pair.key_pem.replace(b"END", b"ENT"))
    with pytest.raises(SigningKeyUnusable, match=r"tls\.key is no private key") as broken:
        ContentKeys(tmp_path)
    assert secret not in str(broken.value)
    certificates.write(tmp_path, pair, root)
    assert secret not in repr(ContentKeys(tmp_path).current())
    for name in ("tls.crt", "previous.crt"):
        certificates.write(tmp_path, pair, root)
        (tmp_path / name).write_bytes(b"no certificate")
        with pytest.raises(SigningKeyUnusable, match=f"{name} holds no certificate"):
            ContentKeys(tmp_path)
