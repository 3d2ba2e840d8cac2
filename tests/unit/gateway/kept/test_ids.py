"""IDs say which gateway has what they are of, and nobody else makes one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorapool_gateway.errors import UnknownKept
from lorapool_gateway.kept.ids import Ids, KeptKind

KEY = b"k" * 32
OWNER = b"alice"


def gateway(host: str | None = "10.0.0.7", *keys: bytes) -> Ids:
    return Ids(lambda: keys or (KEY,), host, 8081)


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7", "127.0.0.9"])
def test_another_gateway_reads_where_it_is(host: str) -> None:
    mine = gateway(host)
    at = gateway("10.0.0.8").where(KeptKind.REQUEST, mine.new(KeptKind.REQUEST, OWNER), OWNER)
    assert at == mine.own
    assert at.address == (host, 8081)


def test_another_process_at_the_same_address_has_kept_nothing() -> None:
    before, now = gateway(), gateway()
    at = now.where(KeptKind.REQUEST, before.new(KeptKind.REQUEST))
    assert (at.address, at == now.own) == (now.own.address, False)


def test_what_is_somebody_elses_or_of_another_kind_is_unknown() -> None:
    ids = gateway()
    made = ids.new(KeptKind.REQUEST, OWNER)
    for kind, owner in ((KeptKind.REQUEST, b"bob"), (KeptKind.REQUEST, b""), (KeptKind.IMAGE, OWNER)):
        with pytest.raises(UnknownKept):
            ids.where(kind, made, owner)


def test_gateways_with_other_keys_know_none_of_it() -> None:
    made = gateway().new(KeptKind.IMAGE)
    with pytest.raises(UnknownKept):
        gateway("10.0.0.7", b"o" * 32).where(KeptKind.IMAGE, made)
    with pytest.raises(UnknownKept):
        Ids().where(KeptKind.IMAGE, Ids().new(KeptKind.IMAGE))


def test_while_a_key_is_replaced_both_count() -> None:
    made = gateway().new(KeptKind.IMAGE)
    assert gateway("10.0.0.8", b"n" * 32, KEY).where(KeptKind.IMAGE, made)


def test_one_bit_more_or_less_is_another_id() -> None:
    ids = gateway()
    raw = bytearray(base64.urlsafe_b64decode(ids.new(KeptKind.IMAGE)))
    for place in range(len(raw)):
        changed = bytes((*raw[:place], raw[place] ^ 1, *raw[place + 1 :]))
        with pytest.raises(UnknownKept):
            ids.where(KeptKind.IMAGE, base64.urlsafe_b64encode(changed).decode())


@given(st.text(max_size=80) | st.text("abcXYZ019-_=", min_size=72, max_size=72))
def test_whatever_else_it_is_it_is_unknown(text: str) -> None:
    with pytest.raises(UnknownKept):
        gateway().where(KeptKind.REQUEST, text)


def test_no_two_are_alike() -> None:
    ids = gateway()
    assert len({ids.new(KeptKind.IMAGE) for _ in range(100)}) == 100
