"""The bench of threads measures each way in processes of its own, and its section says what it found."""

from collections.abc import Mapping
from pathlib import Path

from lorapool_bench.measure.result import write
from lorapool_bench.threads import page
from lorapool_bench.threads.bench import WAYS, run


def test_each_way_has_its_environment_and_its_row(tmp_path: Path) -> None:
    asked: list[tuple[str, Mapping[str, str]]] = []

    def measure(rounds: int, way: str, environment: Mapping[str, str]) -> dict[str, list[float]]:
        asked.append((way, environment))
        slower = 1.0 if way == "one" else 1.5
        return {"alone": [0.010] * rounds, "beside": [0.010 * slower] * rounds}

    result = run(3, measure)
    once = [(way, environment) for _, way, environment in WAYS]
    assert asked == [*reversed(once), *once]
    assert [way.alone.count for way in result.ways] == [6] * len(WAYS)

    write(result, tmp_path, "threads")
    rows = [row for row in page.section(tmp_path, {}).splitlines() if row.startswith("| ")][2:]
    assert [row.rsplit("|", 2)[1].strip() for row in rows] == ["1.5 ×", "1 ×", "1.5 ×", "1.5 ×"]


def test_without_a_result_the_section_names_the_command(tmp_path: Path) -> None:
    assert "make bench-threads" in page.section(tmp_path, {})
