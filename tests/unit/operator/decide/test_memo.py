"""What is not decided again."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lorapool_operator.decide.memo import Memo


@dataclass(frozen=True)
class Sum:
    name: str
    numbers: tuple[int, ...]
    note: str = field(default="", compare=False)


@pytest.fixture
def made() -> list[Sum]:
    return []


@pytest.fixture
def memo(made: list[Sum]) -> Memo[Sum, int]:
    def add(given: Sum) -> int:
        made.append(given)
        return sum(given.numbers)

    return Memo(add, key_of=lambda given: given.name)


def test_an_equal_input_gives_the_result_that_was_made(memo: Callable[[Sum], int], made: list[Sum]) -> None:
    assert memo(Sum("a", (1, 2))) == memo(Sum("a", (1, 2), "another note")) == 3
    assert len(made) == 1


def test_another_input_is_made_anew_and_takes_the_place_of_the_one_before(
    memo: Callable[[Sum], int], made: list[Sum]
) -> None:
    assert [memo(Sum("a", numbers)) for numbers in ((1,), (2,), (1,))] == [1, 2, 1]
    assert len(made) == 3


class Compared:
    """Equal to all of its kind; counts how often it was asked."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return isinstance(other, Compared)

    __hash__ = None  # type: ignore[assignment]


def test_what_was_found_equal_once_is_not_compared_again() -> None:
    """A pass with nothing new passes the same objects, which may be equal copies of those of passes before."""
    memo: Memo[tuple[Compared, ...], int] = Memo(len)
    memo((Compared(),))
    copy = Compared()
    for _ in range(3):
        assert memo((copy,)) == 1
    assert Compared.times == 1


def test_inputs_under_other_keys_stay(memo: Callable[[Sum], int], made: list[Sum]) -> None:
    for _ in range(3):
        assert (memo(Sum("a", (1,))), memo(Sum("b", (2,)))) == (1, 2)
    assert len(made) == 2


def test_what_is_not_kept_is_made_anew(memo: Memo[Sum, int], made: list[Sum]) -> None:
    for name in ("a", "b"):
        memo(Sum(name, (1,)))
    memo.forget("a")
    for name in ("a", "b"):
        memo(Sum(name, (1,)))
    assert [given.name for given in made] == ["a", "b", "a"]


def test_a_failure_is_not_kept() -> None:
    tries: list[int] = []

    def fail_once(given: int) -> int:
        tries.append(given)
        return 1 // (len(tries) - 1)

    memo: Memo[int, int] = Memo(fail_once)
    with pytest.raises(ZeroDivisionError):
        memo(7)
    assert memo(7) == 1


def test_what_was_asked_last_is_known(memo: Memo[Sum, int]) -> None:
    assert memo.last("a") is None
    given = Sum("a", (1, 2))
    memo(given)
    assert memo.last("a") is given
