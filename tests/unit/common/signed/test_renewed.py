"""A gateway signs with the keys that its Secret holds now."""

from pathlib import Path

import pytest

from lorapool_common.signed.calls import NotSigned, SignedCall, Verifier
from lorapool_common.signed.keys import KeyUnusable, public_text, signing_key
from lorapool_common.signed.renewed import FRESH_S, RenewedSigner

CALL = SignedCall("10.0.0.7:8080", "GET", "/v1/status")
OLD, NEW = b"o" * 32, b"n" * 32


class Elapsed:
    """The clock by which files are read anew."""

    s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    made.write_bytes(OLD)
    return made


def takes(secret: bytes, tokens: str) -> bool:
    """Whether a pod that trusts this key takes the call."""
    try:
        Verifier([public_text(signing_key(secret, "gateway"))], CALL.place).check(tokens, CALL.method, CALL.target)
    except NotSigned:
        return False
    return True


def taken(signer: RenewedSigner) -> tuple[bool, bool]:
    """By pods that trust the old key, and by those that trust the new one."""
    tokens = signer.token(CALL)
    return takes(OLD, tokens), takes(NEW, tokens)


def test_keys_are_replaced_with_an_overlap_and_without_a_restart(file: Path) -> None:
    clock = Elapsed()
    signer = RenewedSigner(file, "gateway", clock)
    assert taken(signer) == (True, False)

    file.write_bytes(NEW)
    file.with_name("key.previous").write_bytes(OLD)
    assert taken(signer) == (True, False)
    clock.s = FRESH_S
    assert taken(signer) == (True, True)

    file.with_name("key.previous").unlink()
    clock.s *= 2
    assert taken(signer) == (False, True)


@pytest.mark.parametrize("content", [None, b"short"])
def test_a_file_that_cannot_be_used_leaves_the_keys(file: Path, content: bytes | None) -> None:
    clock = Elapsed()
    signer = RenewedSigner(file, "gateway", clock)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    clock.s = FRESH_S
    assert taken(signer) == (True, False)
    file.write_bytes(NEW)
    clock.s *= 2
    assert taken(signer) == (False, True)


def test_without_a_key_nobody_begins_to_sign(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable):
        RenewedSigner(tmp_path / "key", "gateway")
