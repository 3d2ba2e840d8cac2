"""A device that is full, in each part of a request: what can be had again is given back, and it is tried once more."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from tests import tiny
from tests.runtime.ask import adapter_file, distance, image, rendered, request
from tests.runtime.conftest import load_reference, measured_as
from tests.runtime.fake_cuda import FakeCuda
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, Serving, ServingDefaults, ServingLimits
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Applied, Rendering
from lorapool_runtime.engine.diffusers.device.accelerator import Cuda
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.costs import Costs
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.load import load_engine
from lorapool_runtime.errors import DeviceLost, ModelError, OutOfDeviceMemory

pytestmark = pytest.mark.usefixtures("one_thread")

MIB = 1024**2
# Twice the usual size: four times its pixels.
LIMIT = (2 * tiny.SIZE) ** 2


@dataclass
class Card:
    """A device whose room a test decides about: asked at each forward with what goes in, (rows, channels, h, w)."""

    cuda: FakeCuda = field(default_factory=lambda: FakeCuda(total_bytes=1024 * MIB))
    denoiser_fits: Callable[[tuple[int, ...]], bool] = lambda shape: True
    decoder_fits: Callable[[tuple[int, ...]], bool] = lambda shape: True
    decoded: list[tuple[int, ...]] = field(default_factory=list)
    unets: weakref.WeakSet[UNet2DConditionModel] = field(default_factory=weakref.WeakSet)

    def denoise(self, shape: tuple[int, ...]) -> None:
        if not self.denoiser_fits(shape):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def decode(self, shape: tuple[int, ...]) -> None:
        self.decoded.append(shape)
        if not self.decoder_fits(shape):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    denoise, decode = UNet2DConditionModel.forward, Decoder.forward

    def denoised(self: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        made.unets.add(self)
        made.denoise(tuple(sample.shape))
        return denoise(self, sample, *args, **kwargs)

    def decoded(self: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        made.decode(tuple(sample.shape))
        return decode(self, sample, *args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "forward", denoised)
    monkeypatch.setattr(Decoder, "forward", decoded)
    return made


def make(
    model: Path,
    card: Card,
    mode: ApplyMode = ApplyMode.UNMERGED,
    max_batch: int = 1,
    device_bytes: int | None = None,
) -> DiffusersEngine:
    """An engine on the card."""
    usual = ServingDefaults(width=tiny.SIZE, height=tiny.SIZE)
    serving = Serving(mode=mode, max_batch=max_batch, defaults=usual, limits=ServingLimits(pixels=LIMIT))
    spec = BaseModelSpec(source=ModelSource.model_construct(path=str(model)), dtype=Dtype.FLOAT32)
    accelerator = Cuda(torch.device("cpu"), card.cuda)
    return load_engine(spec, Device.CPU, device_bytes, serving, accelerator=accelerator)


def latents(pixels: int) -> int:
    """Positions of a picture's latents: the tiny VAE halves each side."""
    return pixels // 4


def adapter(engine: DiffusersEngine, model: Path, folder: Path, kind: str) -> HostAdapter:
    return engine.read(adapter_file(EVERY[kind](load_reference(model), folder / kind.replace(" ", "-"))))


# ---- what is known before anybody asks --------------------------------------------------------------------------


def test_a_limit_that_does_not_fit_is_told_and_the_rest_is_served(model: Path, card: Card) -> None:
    card.denoiser_fits = lambda shape: shape[2] * shape[3] <= latents(2 * tiny.SIZE**2)
    engine = make(model, card)
    info = engine.info
    assert info.shortfall is not None
    assert info.shortfall.pixels == LIMIT
    assert tiny.SIZE**2 <= info.shortfall.fits <= 2 * tiny.SIZE**2
    assert image(engine).shape == (tiny.SIZE, tiny.SIZE, 3)
    with pytest.raises(OutOfDeviceMemory, match="no room for one picture of 64 x 64 pixels"):
        image(engine, width=64, height=64)
    assert image(engine).shape == (tiny.SIZE, tiny.SIZE, 3)


def test_what_fits_leaves_no_shortfall_and_a_budget(model: Path, card: Card) -> None:
    card.cuda.taken_bytes = 100 * MIB
    engine = make(model, card)
    assert engine.info.shortfall is None
    assert engine.memory.bound_bytes == (1024 - 100 - 1024 // 32) * MIB


def test_a_budget_that_the_pool_names_is_kept(model: Path, card: Card) -> None:
    engine = make(model, card, device_bytes=5 * MIB)
    assert engine.memory.bound_bytes == 5 * MIB


def test_warm_up_is_with_guidance_at_the_usual_size_and_at_the_limit(model: Path, card: Card) -> None:
    seen: list[tuple[int, ...]] = []

    def note(shape: tuple[int, ...]) -> bool:
        seen.append(shape)
        return True

    card.denoiser_fits = note
    make(model, card)
    assert (2, 4, 16, 16) in seen
    assert (2, 4, 32, 32) in seen
    assert (1, 4, 16, 16) in card.decoded


def test_tiles_are_only_for_what_finds_no_room_as_a_whole(model: Path, card: Card) -> None:
    whole = make(model, Card())
    usual, large = image(whole), image(whole, width=64, height=64)
    card.decoder_fits = lambda shape: shape[2] * shape[3] <= latents(tiny.SIZE**2)
    engine = make(model, card)
    assert engine.info.shortfall is None
    card.decoded.clear()
    assert (image(engine) == usual).all()
    assert len(card.decoded) == 1
    card.decoded.clear()
    tiled = image(engine, width=64, height=64)
    assert len(card.decoded) > 1
    assert distance(tiled, large) < 64
    # And back again: what fits as a whole is made as a whole.
    assert (image(engine) == usual).all()


def test_batches_are_measured_with_what_comes_after_the_steps(model: Path, card: Card) -> None:
    card.decoded.clear()
    make(model, card, max_batch=2)
    card.denoiser_fits = lambda shape: shape[0] <= 2
    make(model, card, max_batch=4)
    assert card.decoded.count((1, 4, 16, 16)) >= 4


# ---- in a request -----------------------------------------------------------------------------------------------


def test_the_vae_works_on_one_picture_at_a_time_and_each_is_what_it_is_alone(model: Path, card: Card) -> None:
    engine = make(model, card)
    alone = [image(engine, seed=7 + i) for i in range(3)]
    engine = measured_as(engine, batching=Batching(rows=4, pixels=10**9))
    card.decoded.clear()
    made = rendered(engine, request(images=3))
    assert made.rows == 3
    assert {shape[0] for shape in card.decoded} == {1}
    assert max(distance(np.asarray(a), b) for a, b in zip(made.images, alone, strict=True)) <= 1


@pytest.mark.parametrize("part", ["denoiser_fits", "decoder_fits"])
def test_a_full_device_gives_up_what_nobody_uses_and_tries_again(
    model: Path, card: Card, tmp_path: Path, part: str
) -> None:
    engine = make(model, card)
    merged, other = (adapter(engine, model, tmp_path, kind) for kind in ("loha kohya", "lora peft, all modules"))
    wanted = image(engine, (other, 1.0))
    image(engine, (merged, 1.0))
    assert engine.parts.board.merged_bytes > 0
    emptied = card.cuda.emptied

    def only_what_runs(shape: tuple[int, ...]) -> bool:
        return engine.parts.board.merged_bytes == 0 and engine.on_device() == {other.identity}

    setattr(card, part, only_what_runs)
    assert (image(engine, (other, 1.0)) == wanted).all()
    assert card.cuda.emptied > emptied


def test_a_batch_that_finds_no_room_is_made_picture_by_picture(model: Path, card: Card) -> None:
    engine = make(model, card)
    alone = [image(engine, seed=7 + i) for i in range(3)]
    engine = measured_as(engine, batching=Batching(rows=4, pixels=10**9))
    card.denoiser_fits = lambda shape: shape[0] <= 2
    made = rendered(engine, request(images=3))
    assert made.rows == 1
    assert all((np.asarray(a) == b).all() for a, b in zip(made.images, alone, strict=True))
    # Orders of several clients in one batch, too.
    results = engine.render([request(seed=7 + i) for i in range(3)])
    assert all(
        isinstance(r, Rendering) and (np.asarray(r.images[0]) == b).all() for r, b in zip(results, alone, strict=True)
    )


def test_what_never_fits_is_said_once_and_harms_nobody(model: Path, card: Card, tmp_path: Path) -> None:
    engine = make(model, card)
    lora = adapter(engine, model, tmp_path, "lora peft, all modules")
    before = image(engine)
    forwards = []

    def too_large(shape: tuple[int, ...]) -> bool:
        forwards.append(shape)
        return shape[3] < 32

    card.denoiser_fits = too_large
    with pytest.raises(OutOfDeviceMemory, match="ask for fewer pixels"):
        image(engine, (lora, 1.0), width=64, height=64)
    assert len(forwards) == 2
    assert (image(engine) == before).all()


def test_weights_that_find_no_room_when_they_are_merged_are_added_instead(
    model: Path, card: Card, tmp_path: Path
) -> None:
    engine = make(model, card, mode=ApplyMode.AUTO)
    lora = adapter(engine, model, tmp_path, "lora peft, all modules")
    merging = Costs(branch_s=1.0, product_s=1.0, merge_s=0.0)
    roomy = measured_as(engine, costs=merging)
    assert rendered(roomy, request((lora, 1.0))).applied is Applied.MERGED
    assert roomy.device_bytes > lora.size_bytes
    roomy.check()
    narrow = measured_as(engine, costs=merging, bound_bytes=lora.size_bytes)
    assert rendered(narrow, request((lora, 0.9))).applied is Applied.UNMERGED

    def no_room(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no room")

    full = measured_as(engine, costs=merging, merge=no_room)
    assert rendered(full, request((lora, 0.8))).applied is Applied.UNMERGED


def test_merged_weights_and_residents_share_one_budget(model: Path, card: Card, tmp_path: Path) -> None:
    engine = make(model, card)
    added, merged = (adapter(engine, model, tmp_path, kind) for kind in ("lora peft, all modules", "loha kohya"))
    image(engine, (merged, 1.0))
    bound_bytes = engine.device_bytes + added.size_bytes - 1
    engine.check()
    engine = measured_as(engine, bound_bytes=bound_bytes)
    image(engine, (merged, 1.0))
    image(engine, (added, 1.0))
    assert engine.on_device() == {added.identity}
    image(engine, (merged, 1.0))
    assert engine.device_bytes <= bound_bytes


# ---- a device that is lost --------------------------------------------------------------------------------------


def fails(card: Card, error: Exception, *, of: Callable[[tuple[int, ...]], bool] = lambda shape: True) -> None:
    def fail(shape: tuple[int, ...]) -> bool:
        if of(shape):
            raise error
        return True

    card.denoiser_fits = fail


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuBLAS error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    ],
)
def test_an_error_that_stays_means_that_the_device_is_lost(model: Path, card: Card, error: Exception) -> None:
    engine = make(model, card)
    card.cuda.lost = True
    fails(card, error)
    with pytest.raises(DeviceLost, match="does not work any more"):
        image(engine)


def test_an_error_that_shows_late_is_found_by_the_canary(model: Path, card: Card) -> None:
    """Kernels run after their call: the canary waits for its own."""
    engine = make(model, card)
    card.cuda.lost = True
    fails(card, RuntimeError("unspecified"), of=lambda shape: shape[2] == 16)
    with pytest.raises(DeviceLost):
        image(engine)


def test_a_check_of_the_bare_base_says_whether_the_device_works(model: Path, card: Card) -> None:
    engine = make(model, card)
    before = image(engine)
    engine.check()
    assert (image(engine) == before).all()
    card.cuda.lost = True
    with pytest.raises(torch.AcceleratorError):
        engine.check()


def test_a_request_that_is_at_fault_itself_does_not_end_the_process(model: Path, card: Card) -> None:
    engine = make(model, card)
    before = image(engine)
    fails(card, RuntimeError("CUDA error: invalid configuration argument"), of=lambda shape: shape[2] == 24)
    for _ in range(5):
        with pytest.raises(RuntimeError, match="invalid configuration"):
            image(engine, width=48, height=48)
    assert (image(engine) == before).all()


def test_a_library_that_finds_no_room_of_its_own_is_a_full_device_and_no_lost_one(model: Path, card: Card) -> None:
    engine = make(model, card)
    card.cuda.lost = True
    fails(card, RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    with pytest.raises(OutOfDeviceMemory):
        image(engine)


# ---- loading ----------------------------------------------------------------------------------------------------


def test_a_base_that_does_not_get_warm_is_not_kept_beside_the_next(model: Path, card: Card) -> None:
    alive: list[int] = []

    def breaks(shape: tuple[int, ...]) -> bool:
        alive.append(len(card.unets))
        raise ArithmeticError("a warm-up that fails")

    card.denoiser_fits = breaks
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="that fails"):
            make(model, card)
    assert alive == [1, 1, 1]
    card.denoiser_fits = lambda shape: True
    engine = make(model, card)
    assert image(engine).shape == (tiny.SIZE, tiny.SIZE, 3)


def test_a_device_that_is_too_small_for_the_base_is_a_model_error(model: Path, card: Card) -> None:
    card.denoiser_fits = lambda shape: False
    with pytest.raises(ModelError, match="no room for the base model"):
        make(model, card)
