"""One API key as a Secret holds it."""

import hashlib
import json

import pytest

from lorapool_gateway.callers.caller import EVERYTHING, Caller, Scope
from lorapool_gateway.callers.entry import EntryUnusable, read_entry

ENTRY = """
key: key-a
namespaces: [team-a]
pools: [models/sdxl]
adapters: [team-a/pixel, nerijs/pixel-art-xl]
rate: 10/minute; 100/day
concurrent: 4
maxPriority: 5
maxDeadlineSeconds: 60
"""


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def test_a_bare_key_opens_everything() -> None:
    assert read_entry("alice", "key-a\n") == Caller("alice", digest("key-a"), EVERYTHING)


def test_an_entry_says_what_its_key_allows() -> None:
    caller = read_entry("team-a", ENTRY)
    assert caller is not None
    assert (caller.name, caller.id) == ("team-a", digest("key-a"))
    assert caller.scope == Scope(
        frozenset({"team-a"}), frozenset({"models/sdxl"}), frozenset({"team-a/pixel", "nerijs/pixel-art-xl"})
    )
    assert [(rate.amount, rate.get_expiry()) for rate in caller.rates] == [(10, 60), (100, 86_400)]
    assert (caller.concurrent, caller.max_priority, caller.max_deadline_s) == (4, 5, 60)


def test_the_digest_alone_is_enough_and_json_is_yaml() -> None:
    sha256 = hashlib.sha256(b"key-a").hexdigest()
    assert read_entry("a", f"sha256: {sha256}") == read_entry("a", json.dumps({"key": "key-a"}))


@pytest.mark.parametrize("text", ["key-a", "a:b", "key with spaces", "- a\n- b", "YWJj+/=="])
def test_what_is_no_mapping_is_the_key_itself(text: str) -> None:
    caller = read_entry("a", text)
    assert caller is not None
    assert caller.id == digest(text)


def test_an_empty_entry_is_nobodys() -> None:
    assert read_entry("a", " \n") is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("key: secret\nadaptors: [a/b]", "none of key, sha256, namespaces"),
        ("{secret}", "none of key"),
        ("key: secret\nsha256: " + "ab" * 32, "one of"),
        ("concurrent: 1", "one of"),
        ("sha256: secret-no-digest", "sha256"),
        ("key: secret\nnamespaces: []", "namespaces"),
        ("key: secret\nrate: 10", "60/minute"),
        ("key: secret\nrate: fast", "60/minute"),
        ("key: secret\nrate: 0/minute", "1 to"),
        ("key: secret\nrate: 1000000/day", "1 to"),
        ("key: secret\nconcurrent: 0", "concurrent"),
        ("key: secret\nmaxPriority: 10", "maxPriority"),
        ("key: secret\nmaxDeadlineSeconds: .nan", "maxDeadlineSeconds"),
        ("key: [secret]", "key"),
        ("{secret", "YAML"),
        ("key: secret\nx: " + "[" * 20_000, "YAML"),
        ("a: &a [1]\nb: &b [*a, *a]\nkey: [*b, *b]", "key"),
    ],
)
def test_a_slip_is_named_and_nothing_of_the_key(text: str, what: str) -> None:
    with pytest.raises(EntryUnusable) as found:
        read_entry("a", text)
    assert what in str(found.value)
    assert "secret" not in str(found.value)


SDXL, TINY = "models/sdxl", "team-a/tiny"


@pytest.mark.parametrize(
    ("scope", "pool", "adapter", "expected"),
    [
        (Scope(), SDXL, None, True),
        (Scope(), SDXL, "team-b/x", True),
        (Scope(namespaces=frozenset({"team-a"})), SDXL, "team-a/x", True),
        (Scope(namespaces=frozenset({"team-a"})), SDXL, "team-b/x", False),
        (Scope(namespaces=frozenset({"team-a"})), SDXL, None, False),
        (Scope(namespaces=frozenset({"team-a"})), TINY, None, True),
        (Scope(namespaces=frozenset({"team-a"})), TINY, "hub:owner/name", True),
        (Scope(namespaces=frozenset({"team-a"})), SDXL, "hub:owner/name", False),
        (Scope(pools=frozenset({SDXL})), SDXL, None, True),
        (Scope(pools=frozenset({SDXL})), SDXL, "team-b/x", True),
        (Scope(pools=frozenset({SDXL})), TINY, "team-a/x", False),
        (Scope(namespaces=frozenset({"team-a"}), pools=frozenset({SDXL})), SDXL, None, True),
        (Scope(namespaces=frozenset({"team-a"}), pools=frozenset({SDXL})), SDXL, "team-b/x", False),
        (Scope(adapters=frozenset({"team-a/x"})), SDXL, "team-a/x", True),
        (Scope(adapters=frozenset({"team-a/x"})), SDXL, "team-a/y", False),
        (Scope(adapters=frozenset({"team-a/x"})), SDXL, None, False),
        (Scope(adapters=frozenset({"owner/name"})), SDXL, "hub:owner/name", True),
        (Scope(adapters=frozenset({"owner/name"})), SDXL, "hub:owner/other", False),
    ],
)
def test_each_list_narrows_what_the_others_leave(scope: Scope, pool: str, adapter: str | None, expected: bool) -> None:
    assert scope.allows(pool, adapter) is expected
