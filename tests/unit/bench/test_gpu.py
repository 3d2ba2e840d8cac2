"""What the bench of whole pictures says of its samples, and what its page says where there was no GPU."""

from pathlib import Path

import pytest

from lorapool_bench.gpu import page
from lorapool_bench.gpu.result import GpuResult, PictureWay, latencies
from lorapool_bench.measure.machine import Machine
from lorapool_bench.measure.result import write


def test_latencies_are_ranks_of_the_samples() -> None:
    found = latencies([float(i) for i in range(100, 0, -1)])
    assert (found.p50_s, found.p95_s, found.count) == (50.0, 95.0, 100)
    assert latencies([3.0, 1.0]).p95_s == 3.0
    with pytest.raises(ValueError, match="nothing"):
        latencies([])


def result(**changes: object) -> GpuResult:
    made = GpuResult(
        measured="2026-01-02",
        took_s=60.0,
        machine=Machine(cpu="A CPU", cores=2, memory_bytes=2**34, load=0.1, device="CPU"),
        versions={"torch": "2"},
        settings={"rounds": 3},
        subject="a base",
        parameters=4_500_000,
        pictures=(
            PictureWay(name="base", words="the base", rows=2, images_per_s=12.5, latency=latencies([0.16])),
            PictureWay(
                name="graph", words="compiled", rows=1, images_per_s=20, latency=latencies([0.05]), compile_s=42.0
            ),
        ),
        traffic=(),
        switches=(),
        cold_start={"import": 3.0},
        memory={"base": 2**31, "an adapter": 2**20},
        left_out=("tiers",),
    )
    return made.model_copy(update=changes)


def test_the_page_says_of_each_device_whether_it_was_measured(tmp_path: Path) -> None:
    assert "no GPU was at hand" in page.section(tmp_path, {})
    assert "Not measured yet" in page.section(tmp_path, {})
    write(result(), tmp_path, page.ON_CPU)
    text = page.section(tmp_path, {})
    assert "no GPU was at hand" in text
    assert "| the base | 2 | 12.5 | 160 ms | 160 ms |  |" in text
    assert "| compiled | 1 | 20 | 50 ms | 50 ms | 42 s |" in text
    assert "| base | 2.0 GiB |" in text
    assert "Left out: tiers." in text
    write(result(subject="a large base"), tmp_path, page.ON_CUDA)
    text = page.section(tmp_path, {})
    assert "no GPU was at hand" not in text
    assert text.index("a large base: ") < text.index("a base: ")
