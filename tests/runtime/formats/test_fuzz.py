"""Hostile files, some of them: `make fuzz` tries a hundred thousand."""

from pathlib import Path

import pytest
from tests.fuzz.judge import Broken, Judge

from lorapool_api.lora.facts import AdapterFacts
from lorapool_runtime.adapters.check import check_file

CASES = 1500


@pytest.fixture
def judge(one_thread: None, tmp_path: Path) -> Judge:
    return Judge(tmp_path, seed=1)


def test_every_file_that_mutations_start_from_is_served(judge: Judge) -> None:
    assert {seed.name: judge.judge(seed) for seed in judge.seeds} == {seed.name: "served" for seed in judge.seeds}


def test_a_hostile_file_is_read_or_refused_with_a_reason_within_its_bounds(judge: Judge, tmp_path: Path) -> None:
    for number in range(CASES):
        judge.run(number)
    found = judge.tally.counts
    assert sum(found.values()) == CASES
    # The mutations reach every refusal, and leave some files usable.
    assert {"served", "InvalidWeights", "UnsupportedFormat", "BaseModelMismatch", "RankTooHigh"} <= found.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["case.safetensors"]


def test_the_same_number_makes_the_same_file(judge: Judge, tmp_path: Path) -> None:
    assert judge.case(17) == Judge(tmp_path, seed=1).case(17)
    assert judge.case(17) != judge.case(18)


def test_the_judge_sees_what_breaks_a_promise(tmp_path: Path) -> None:
    """A reader that takes too much memory, or refuses without words, is found out."""
    judge = Judge(tmp_path, 1, check=_greedy)
    seed = judge.seeds[0]
    with pytest.raises(Broken, match="of memory"):
        judge.judge(seed)
    with pytest.raises(Broken, match="nobody can show"):
        Judge(tmp_path, 1, message_chars=3).judge(type(seed)(seed.name, b"short", seed.base))


def _greedy(path: Path, max_rank: int) -> AdapterFacts:
    room = bytearray(8 * 2**20)
    return check_file(path, max_rank + len(room))
