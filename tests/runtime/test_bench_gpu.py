"""The scenes of whole pictures on a tiny base: each measures what its name says. What compiles is left to the bench."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from tests.runtime.fake_cuda import FakeCuda

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_bench.gpu.bench import run
from lorapool_bench.gpu.found import FoundFigures
from lorapool_bench.gpu.lorapool_scenes import LorapoolScenes
from lorapool_bench.gpu.result import GpuResult
from lorapool_bench.gpu.scenes import within
from lorapool_bench.gpu.subject import GpuSubject, ZipfAdapters, by_zipf
from lorapool_bench.subjects.random_pipeline import save_pipeline
from lorapool_bench.subjects.unet import SHAPES
from lorapool_runtime.engine.diffusers.device.accelerator import Cuda

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]
REQUESTS = 5
EAGER = ("batches", "tiers", "traffic", "memory", "sleep", "diffusers", "diffusers-traffic")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> GpuSubject:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    save_pipeline(folder, SHAPES["tiny"], torch.float32, vae_channels=(32, 32), text_layers=(1, 2))
    return GpuSubject("a tiny base", folder, Device.CPU, Dtype.FLOAT32, side=32, steps=1)


@pytest.fixture(scope="module")
def found(subject: GpuSubject) -> GpuResult:
    return run(subject, rounds=1, requests=REQUESTS, wanted=EAGER)


def test_each_way_is_timed_with_one_two_and_four_pictures(found: GpuResult) -> None:
    ways = Counter(way.name for way in found.pictures)
    assert ways == {"base": 3, "unmerged": 3, "merged": 3, "mixed": 2, "diffusers": 3, "peft": 3}
    for way in found.pictures:
        assert way.images_per_s == pytest.approx(way.rows / way.latency.p50_s), "one round"
    assert found.left_out == ("compiled", "diffusers-compiled", "diffusers-compiled-hotswap")


def test_the_same_requests_go_through_the_queue_and_through_diffusers_ways(found: GpuResult) -> None:
    assert [way.name for way in found.traffic] == ["lorapool 1", "lorapool 4", "in turn", "article", "hotswap"]
    for way in found.traffic:
        assert (way.requests, way.latency.count, way.switch.count) == (REQUESTS, REQUESTS, REQUESTS)
        assert way.adapters == len(set(by_zipf(REQUESTS)))
    one_by_one = found.traffic[0]
    assert sum(one_by_one.tiers.values()) == REQUESTS
    assert one_by_one.tiers["disk"] == one_by_one.adapters, "each is read once"


def test_what_is_nearer_is_there_sooner(found: GpuResult) -> None:
    switches = {way.words: way.switch.median for way in found.switches}
    assert list(switches) == ["from device", "from host", "from disk", "from device, merged"]
    assert switches["from device"] < switches["from disk"]
    assert list(found.cold_start) == ["import", "files", "load", "warm_up", "first picture"]
    assert list(found.wake) == ["sleep", "wake", "first picture"]
    assert list(found.memory) == ["base", "an adapter", "merged weights", "the process, at most"]
    assert found.memory["merged weights"] > 0


def test_where_the_device_has_memory_its_peak_is_asked(subject: GpuSubject, tmp_path: Path) -> None:
    """CUDA's figures, of a card that is none."""
    card = Cuda(torch.device("cpu"), FakeCuda(taken_bytes=2**30))
    scenes = LorapoolScenes(
        subject, ZipfAdapters(subject, tmp_path), FoundFigures(rounds=1), requests=1, accelerator=card
    )
    try:
        scenes.memory()
    finally:
        scenes.close()
    peaks = [name for name in scenes.found.memory if name.startswith("peak")]
    assert peaks == ["peak of 1, beside the base", "peak of 2, beside the base", "peak of 4, beside the base"]


def test_a_base_that_sleeps_has_left_the_device_and_is_timed_back(subject: GpuSubject, tmp_path: Path) -> None:
    """On a card that is none: its weights really go, and come back for the picture."""
    card = Cuda(torch.device("cpu"), FakeCuda(taken_bytes=2**30))
    scenes = LorapoolScenes(
        subject, ZipfAdapters(subject, tmp_path), FoundFigures(rounds=2), requests=1, accelerator=card
    )
    try:
        weight = next(scenes.pool.engine.parts.pipeline.unet.parameters())
        scenes.sleep()
        assert next(scenes.pool.engine.parts.pipeline.unet.parameters()) is not weight
    finally:
        scenes.close()
    assert list(scenes.found.wake) == ["sleep", "wake", "first picture"]
    assert all(took_s > 0 for took_s in scenes.found.wake.values())


def test_adapters_differ_in_one_number(subject: GpuSubject, tmp_path: Path) -> None:
    adapters = ZipfAdapters(subject, tmp_path)
    files = [adapters.file(i) for i in (0, 1, 129)]
    assert len({file.identity for file in files}) == 3
    first, *others = [load_file(file.path) for file in files]
    for other in others:
        assert sum(int((first[name] != other[name]).sum()) for name in first) == 1


def test_adapters_are_wanted_by_zipf() -> None:
    counts = Counter(by_zipf(10_000))
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.15)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.3)
    assert max(counts) < 130


def test_a_vae_of_three_halvings_has_eight_pixels_to_a_latent(tmp_path: Path) -> None:
    save_pipeline(tmp_path, SHAPES["tiny"], torch.float32, vae_channels=(32, 32, 32, 32))
    vae = AutoencoderKL.from_pretrained(tmp_path, subfolder="vae")
    assert vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean.shape[-2:] == (8, 8)


def test_no_scene_begins_after_the_limit_and_one_without_room_is_left_out() -> None:
    begun: list[str] = []
    played: list[str] = []

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    scenes: dict[str, Callable[[], None]] = {
        "one": partial(played.append, "one"),
        "two": full,
        "three": partial(played.append, "three"),
    }
    assert within(scenes, list(scenes), 600, begun.append) == ["one", "three"] == played
    assert begun == ["one", "two", "three"]
    assert within(scenes, ["one"], 0, begun.append) == []
