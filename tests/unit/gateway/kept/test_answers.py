"""Answers are kept for their time, within their bytes, and one owner's flood takes none of another's."""

from lorapool_gateway.kept.answers import KeptAnswer, KeptAnswers

KIB = 1024


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(kib: int = 1) -> KeptAnswer:
    return KeptAnswer(200, {}, bytes(kib * KIB))


def test_it_is_kept_for_its_time_and_no_longer() -> None:
    clock = Clock()
    kept = KeptAnswers(clock, keep_s=60, max_bytes=100 * KIB)
    assert kept.keep("a", b"alice", answer())
    clock.now = 59
    assert kept.get("a") == answer()
    clock.now = 60
    assert (kept.get("a"), kept.size_bytes) == (None, 0)


def test_for_room_the_oldest_go_of_who_has_most() -> None:
    kept = KeptAnswers(Clock(), keep_s=60, max_bytes=100 * KIB)
    kept.keep("bobs", b"bob", answer(20))
    for number in range(20):
        assert kept.keep(f"alices {number}", b"alice", answer(20))
        assert kept.size_bytes <= 100 * KIB
    assert kept.get("bobs") is not None
    assert [number for number in range(20) if kept.get(f"alices {number}")] == [17, 18, 19]


def test_what_is_larger_than_all_may_be_is_not_kept_and_drops_nothing() -> None:
    kept = KeptAnswers(Clock(), keep_s=60, max_bytes=100 * KIB)
    kept.keep("a", b"", answer())
    assert not kept.keep("b", b"", answer(100))
    assert kept.get("a") is not None
    assert kept.keep("c", b"", KeptAnswer(200, {}, bytes(kept.most_bytes)))


def test_what_was_dropped_takes_no_room() -> None:
    kept = KeptAnswers(Clock(), keep_s=60, max_bytes=100 * KIB)
    kept.keep("a", b"", answer())
    kept.drop("a")
    kept.drop("a")
    assert (kept.get("a"), kept.size_bytes) == (None, 0)
