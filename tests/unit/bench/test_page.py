"""The performance page says what the results say, and is found stale when it does not."""

import sys
from pathlib import Path

import pytest

from lorapool_bench import page
from lorapool_bench.measure.machine import Machine
from lorapool_bench.measure.result import RESULTS, write
from lorapool_bench.measure.spread import Spread, spread
from lorapool_bench.switch.result import LABELS, Exactness, KindResult, SwitchResult, WayResult

SECONDS = {"article": 4.0, "hotswap": 0.3, "disk": 0.2, "host": 0.01, "resident": 0.002, "merged": 1.0}


def way(name: str, extra_s: float = 0.0) -> WayResult:
    return WayResult(
        name=name,
        parts={"all": spread([SECONDS[name]])},
        switch=spread([SECONDS[name]]),
        extra=spread([extra_s]),
        steady=spread([0.1]),
        exact=Exactness(output_error=1e-3, weights_equal=None),
    )


def result(extra_s: float = 0.0) -> SwitchResult:
    kind = KindResult(
        name="46 MB",
        modules=560,
        rank=16,
        size_bytes=46_000_000,
        base_identical=True,
        lorapool_switches=9,
        article_changed=0.25,
        article_switches=3,
        ways=tuple(way(name, extra_s) for name in LABELS),
    )
    return SwitchResult(
        measured="2026-01-02",
        took_s=60.0,
        machine=Machine(cpu="A CPU", cores=2, memory_bytes=2**34, load=0.1, device="CPU"),
        versions={"torch": "2"},
        settings={"rounds": 3},
        peak_bytes=2**33,
        parameters=2_567_463_684,
        dtype="bfloat16",
        kinds=(kind,),
    )


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["page", "--results", str(folder), "--page", str(folder / "page.md"), *options])
    page.main()


def test_the_page_in_the_repository_is_made_from_the_results_in_it() -> None:
    assert page.PAGE.read_text() == page.page(RESULTS)


def test_what_was_not_measured_is_said_with_its_command(tmp_path: Path) -> None:
    text = page.page(tmp_path)
    for command in ("bench-switch", "bench-overhead", "bench-coldstart", "bench-queue", "bench-gateway"):
        assert f"Not measured yet: `make {command}`" in text


def test_a_changed_result_makes_the_page_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(result(), tmp_path, "switch")
    run(monkeypatch, tmp_path)
    run(monkeypatch, tmp_path, "--check")
    write(result(extra_s=0.001), tmp_path, "switch")
    with pytest.raises(SystemExit, match="stale"):
        run(monkeypatch, tmp_path, "--check")


def test_targets_stand_beside_their_figures_with_the_reason_of_a_miss(tmp_path: Path) -> None:
    write(result(), tmp_path, "switch")
    (tmp_path / "notes.yaml").write_text("switch/46 MB/disk-article: 'missed: a slow disk'\n")
    text = page.page(tmp_path)
    assert "| 46 MB: an adapter on the device beside the article's flow | 1,000 × | 2,000 × | met |" in text
    assert "| 46 MB: one on disk beside the article's flow | 30 × | 20 × | missed: a slow disk |" in text
    assert "2.57 B parameters" in text
    assert "A CPU, 2 cores" in text


def test_what_a_switch_put_off_counts() -> None:
    put_off = result(extra_s=0.002).kinds[0].way("resident")
    assert put_off.total_s == pytest.approx(0.004)
    # A first pass that was faster by chance makes no switch cheaper.
    assert way("resident", extra_s=-0.01).total_s == pytest.approx(0.002)


def test_a_spread_has_an_error_that_outliers_do_not_move() -> None:
    calm, wild = spread([1.0, 1.1, 0.9, 1.0, 1.05]), spread([1.0, 1.1, 0.9, 1.0, 50.0])
    assert calm.median == wild.median == 1.0
    assert wild.error < 0.1
    assert wild.high == 50.0
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_the_spread_is_what_the_json_says(tmp_path: Path) -> None:
    path = write(result(), tmp_path, "switch")
    assert SwitchResult.model_validate_json(path.read_text()) == result()
    assert Spread(median=4.0, low=4.0, high=4.0, error=0.0, count=1) == result().kinds[0].way("article").switch
