"""Signed calls: for one place, once, for a moment."""

from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from lorapool_common.signed.calls import SKEW_S, NotSigned, SignedCall, Signer, Verifier
from lorapool_common.signed.keys import KeyUnusable, key_id, public_text, read_keys, signing_key

OURS, OTHER, OLD = (signing_key(secret * 16, "gateway") for secret in (b"a", b"b", b"c"))
CALL = SignedCall("10.0.0.7:8080", "POST", "/v1/generate?x=1", "5" * 64)


class Now:
    """The clock of one side."""

    def __init__(self, s: float = 1000.0) -> None:
        self.s = s

    def __call__(self) -> float:
        return self.s


def verifier(*keys: str, clock: Now | None = None, most: int = 10) -> Verifier:
    return Verifier(keys or (public_text(OURS),), CALL.place, clock or Now(), most)


def token(call: SignedCall = CALL, clock: Now | None = None, keys: tuple[object, ...] = (OURS,)) -> str:
    return Signer(keys, clock or Now()).token(call)  # type: ignore[arg-type]


def refusal(tokens: str, verifier: Verifier) -> str:
    with pytest.raises(NotSigned) as refused:
        verifier.check(tokens, CALL.method, CALL.target)
    return str(refused.value)


def test_a_call_is_taken_once_with_the_sha256_of_its_body() -> None:
    it, tokens = verifier(), token()
    assert it.check(tokens, CALL.method, CALL.target) == CALL.sha256
    assert refusal(tokens, it) == "it was used before"
    assert it.check(token(), CALL.method, CALL.target)


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, place="10.0.0.8:8080"),
        replace(CALL, place="10.0.0.7:8081"),
        replace(CALL, method="GET"),
        replace(CALL, target="/v1/generate"),
        replace(CALL, target="/v1/generate?x=2"),
    ],
)
def test_a_call_that_was_signed_for_another_pod_port_or_address_is_refused(call: SignedCall) -> None:
    assert refusal(token(call), verifier()) == "it was signed for another call"


@pytest.mark.parametrize(("apart_s", "taken"), [(SKEW_S, True), (-SKEW_S, True), (SKEW_S + 1, False), (-61, False)])
def test_clocks_may_differ_by_a_minute(apart_s: float, taken: bool) -> None:
    it = verifier(clock=Now(1000.0 + apart_s))
    if taken:
        assert it.check(token(), CALL.method, CALL.target)
    else:
        assert "not signed just now" in refusal(token(), it)


def test_no_token_is_forgotten_while_it_could_be_taken_again() -> None:
    there = Now(1000.0 - SKEW_S)
    it, tokens = verifier(clock=there), token()
    assert it.check(tokens, CALL.method, CALL.target)
    for there.s in range(941, 1062, 20):
        assert refusal(tokens, it).startswith(("it was used before", "it was not signed just now"))


def test_what_is_remembered_is_bounded() -> None:
    it, tokens = verifier(most=3), [token() for _ in range(4)]
    for each in tokens:
        assert it.check(each, CALL.method, CALL.target)
    assert refusal(tokens[3], it) == "it was used before"
    assert it.check(tokens[0], CALL.method, CALL.target)


def test_a_refused_call_uses_nothing_up() -> None:
    it, tokens = verifier(), token()
    with pytest.raises(NotSigned):
        it.check(tokens, "GET", CALL.target)
    assert it.check(tokens, CALL.method, CALL.target)


def test_while_a_key_is_replaced_pods_of_both_kinds_take_what_is_signed_with_both() -> None:
    both = token(keys=(OURS, OLD))
    for known in (OURS, OLD):
        assert verifier(public_text(known)).check(both, CALL.method, CALL.target)
    assert "no known key" in refusal(both, verifier(public_text(OTHER)))


@pytest.mark.parametrize("tokens", ["", "x", "a.b.c", ",,,", "x" * 5000, "\u00ff"])
def test_what_is_no_token_is_refused(tokens: str) -> None:
    assert refusal(tokens, verifier())


def test_nobody_chooses_another_algorithm_or_leaves_out_a_claim() -> None:
    public = public_text(OURS)
    claims = {"aud": CALL.place, "htm": CALL.method, "htu": CALL.target, "sha256": "", "iat": 1000.0, "jti": "1"}
    forged = jwt.encode(claims, public * 2, "HS256", headers={"kid": key_id(public)})
    assert "no known key" in refusal(forged, verifier())
    unsigned = jwt.encode(claims, "", "none", headers={"kid": key_id(public)})
    assert "no known key" in refusal(unsigned, verifier())
    for claim in claims:
        rest = {name: value for name, value in claims.items() if name != claim}
        signed = jwt.encode(rest, OURS, "EdDSA", headers={"kid": key_id(public)})
        assert "no known key" in refusal(signed, verifier())
    odd = jwt.encode(claims | {"iat": "soon"}, OURS, "EdDSA", headers={"kid": key_id(public)})
    assert "not signed just now" in refusal(odd, verifier())


def test_keys_for_two_uses_differ_and_the_same_bytes_make_the_same_key(tmp_path: Path) -> None:
    assert public_text(signing_key(b"a" * 16, "operator")) != public_text(OURS)
    assert public_text(signing_key(b"a" * 16, "gateway")) == public_text(OURS)
    (tmp_path / "key").write_bytes(b"a" * 16)
    assert read_keys(tmp_path / "key") == (b"a" * 16,)
    (tmp_path / "key.previous").write_bytes(b"b" * 16)
    assert read_keys(tmp_path / "key") == (b"a" * 16, b"b" * 16)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "\u00e9"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(KeyUnusable):
        Verifier((text,), CALL.place)
