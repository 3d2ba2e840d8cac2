"""The device's context comes up while libraries are imported and files are read: none of them waits for another."""

import threading
from collections.abc import Callable

import structlog
import torch

from lorapool_api.kinds.runtime import Device

log = structlog.get_logger(__name__)


def create_context() -> None:
    """What the first tensor on the device would wait for. Raises: RuntimeError, AssertionError: there is none."""
    torch.empty(1, device="cuda")


def begin_context(device: Device, create: Callable[[], object] = create_context) -> threading.Thread | None:
    """Begin to create it, on a thread that nobody waits for; None where there is nothing to create.

    What is wrong with the device is said by whoever loads the base.
    """
    if device is not Device.CUDA:
        return None

    def work() -> None:
        try:
            create()
        except (RuntimeError, AssertionError) as error:
            log.info("the device's context did not come up ahead", error=str(error)[:200])

    thread = threading.Thread(target=work, name="device-context", daemon=True)
    thread.start()
    return thread
