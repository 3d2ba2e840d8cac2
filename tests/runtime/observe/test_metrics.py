"""What a pod tells Prometheus after a few requests."""

from pathlib import Path

from tests.runtime.pods import config, entry, settings, started, write_adapter
from tests.unit.observe.expositions import value

from lorapool_api.wire.state import AdapterPhase


async def test_stages_hits_and_tiers_of_requests_are_counted(tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "adapters", "one", seed=1)
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as pod:
        await pod.apply(entry(path))
        assert (await pod.until("default/one")).phase is AdapterPhase.READY
        uses = [{"key": "default/one"}]
        for body in ({"adapters": uses}, {"adapters": uses, "images": 2}, {}, {"width": 60}):
            await pod.generate(**body)
        text = (await pod.serving.get("/metrics")).text
    prefix = "lorapool_runtime_"
    assert value(text, f"{prefix}images_total") == 4
    assert value(text, f"{prefix}requests_total", outcome="Ok") == 3
    assert value(text, f"{prefix}requests_total", outcome="InvalidRequest") == 1
    assert value(text, f"{prefix}renders_total", applied="unmerged") == 2
    assert value(text, f"{prefix}renders_total", applied="none") == 1
    for stage in ("queue", "load", "switch", "prompt", "steps", "decode", "encode"):
        assert value(text, f"{prefix}stage_seconds_count", stage=stage) == 3
    # The first one brought it to the device: the second found it there.
    assert value(text, f"{prefix}adapter_uses_total", tier="device") == 1
    assert value(text, f"{prefix}switch_seconds_count", tier="device") == 1
    assert value(text, f"{prefix}busy_seconds_total") > 0
    assert value(text, f"{prefix}base_warm") == 1
    assert value(text, f"{prefix}cold_start_seconds") > 0
    for stage in ("process", "load", "catalog", "image"):
        assert value(text, f"{prefix}cold_start_stage_seconds", stage=stage) >= 0
    assert value(text, f"{prefix}evictions_total", tier="disk") == 0
    assert value(text, f"{prefix}info", pool="default/shapes", engine="stub") == 1
