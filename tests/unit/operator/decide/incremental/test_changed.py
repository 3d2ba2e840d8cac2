"""What is another than before."""

from lorapool_operator.seen.changed import changed_keys, differing_keys


class Value:
    """Equal to all others of its kind."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value)

    __hash__ = None  # type: ignore[assignment]


def test_other_objects_are_changed_and_what_came_or_went_is() -> None:
    same, old, new = Value(), Value(), Value()
    before = {"same": same, "other": old, "gone": old}
    now = {"same": same, "other": new, "came": new}
    assert changed_keys(before, now) == {"other", "gone", "came"}
    assert differing_keys(before, now) == {"gone", "came"}
    assert changed_keys(now, now) == set()


def test_as_many_may_come_as_go() -> None:
    assert changed_keys({"a": 1}, {"b": 1}) == {"a", "b"}
    assert changed_keys({}, {"b": None}) == {"b"}
