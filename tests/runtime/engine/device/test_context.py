"""The device's context comes up beside what else a start does."""

import threading

import pytest

from lorapool_api.kinds.runtime import Device
from lorapool_runtime.engine.diffusers.device.context import begin_context


def test_nobody_waits_for_the_context() -> None:
    begun, imported = threading.Event(), threading.Event()
    finished: list[bool] = []

    def create() -> None:
        begun.set()
        finished.append(imported.wait(10))

    thread = begin_context(Device.CUDA, create)
    assert thread is not None
    assert begun.wait(10), "it is at work"
    assert finished == [], "and libraries can be imported meanwhile"
    imported.set()
    thread.join(10)
    assert finished == [True]


@pytest.mark.parametrize("error", [RuntimeError("CUDA driver error"), AssertionError("not compiled with CUDA")])
def test_a_device_that_is_missing_is_left_to_who_loads_the_base(error: Exception) -> None:
    def create() -> None:
        raise error

    thread = begin_context(Device.CUDA, create)
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_a_cpu_has_no_context() -> None:
    assert begin_context(Device.CPU) is None
