"""A device that is lost, or too small for the base."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests import tiny
from tests.runtime.ask import image
from tests.runtime.engine.device.card import Card, make

from lorapool_runtime.errors import DeviceLost, ModelError, OutOfDeviceMemory

pytestmark = pytest.mark.usefixtures("one_thread")


def fails(
    card: Card, error: Exception, *, of: Callable[[tuple[int, ...]], bool] = lambda shape: True, lost: bool = False
) -> None:
    """In the denoiser; `lost`: the device does nothing more from then on."""

    def fail(shape: tuple[int, ...]) -> bool:
        if of(shape):
            card.cuda.lost = card.cuda.lost or lost
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
    fails(card, error, lost=True)
    with pytest.raises(DeviceLost, match="does not work any more"):
        image(engine)


def test_an_error_that_shows_late_is_found_by_the_canary(model: Path, card: Card) -> None:
    """Kernels run after their call: the canary waits for its own."""
    engine = make(model, card)
    fails(card, RuntimeError("unspecified"), of=lambda shape: shape[2] == 16, lost=True)
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
    fails(card, RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    with pytest.raises(OutOfDeviceMemory):
        image(engine)


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
