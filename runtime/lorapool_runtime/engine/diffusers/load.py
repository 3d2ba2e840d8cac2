"""Loading a base and warming it up: what comes of it is a whole engine, or nothing."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import structlog
import torch

from lorapool_api.kinds.base_model import BaseModelSpec, Offload
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, CompileMode, Serving
from lorapool_api.rules.usual import completed
from lorapool_runtime.engine.contract import BaseInfo, Progress, no_progress
from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.base.offload import offload, serving_of
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
from lorapool_runtime.engine.diffusers.checker.load import load_checker
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator, accelerator_of
from lorapool_runtime.engine.diffusers.device.faults import is_full
from lorapool_runtime.engine.diffusers.device.warm_up import warm_up
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.families.find import usual_of
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.parts import PipelineParts
from lorapool_runtime.engine.diffusers.rounding import order_channels, set_rounding
from lorapool_runtime.errors import DeviceLost, ModelError

log = structlog.get_logger(__name__)

# Where the pool names none and nothing can be measured.
_USUAL_BUDGET_BYTES: Final = 4 * 1024**3


def load_engine(
    model: BaseModelSpec,
    device: Device,
    device_bytes: int | None,
    serving: Serving,
    progress: Progress = no_progress,
    accelerator: Accelerator | None = None,
    imported_s: float | None = None,
) -> DiffusersEngine:
    """The engine with its base on the device and warm.

    Args:
        device_bytes: bounds what adapters take of the device; None: what is left of it.
        imported_s: what the import of this module took, for the stages of the load.

    Raises:
        ModelError: the base cannot be loaded, or finds no room.
        DeviceLost: the device does not work.
    """
    accelerator = accelerator_of(device) if accelerator is None else accelerator
    # What an earlier try left in cycles of references, tracebacks among them.
    gc.collect()
    accelerator.empty_cache()
    with _device_errors():
        start = time.monotonic()
        serving = serving_of(model, serving)
        set_rounding(serving)
        wants_checker = serving.safety is not None and serving.safety.pipeline
        loaded = load_pipeline(model, device, progress, with_checker=wants_checker)
        order_channels(loaded.pipeline, serving)
        usual = usual_of(loaded.family)
        complete = completed(serving, usual)
        variant = model.source.hub.variant if model.source.hub else None
        # On the device before its memory is measured.
        checker = (
            load_checker(loaded.folder, model.label, loaded.dtype, variant, accelerator) if wants_checker else None
        )
        parts = PipelineParts.of(loaded, complete, accelerator, checker)
        if model.offload is Offload.GROUP:
            offload(loaded.pipeline, loaded.controls.values(), accelerator.device)
        _check_mode(parts.board, serving.mode)
        loaded_s = time.monotonic() - start
        start = time.monotonic()
        measured = warm_up(parts.one_step, parts.board, complete, accelerator, accelerator.empty_cache)
        if measured.whole_pixels is not None:
            parts.vae.whole_up_to(measured.whole_pixels)
        files_s = loaded.files_s
        stages_s = {"files": files_s, "load": loaded_s - files_s, "warm_up": time.monotonic() - start}
    stages_s = stages_s if imported_s is None else {"import": imported_s, **stages_s}
    info = BaseInfo(loaded.revision, loaded.size_bytes, parts.board.modules(), stages_s, measured.shortfall, usual)
    info = replace(info, family=loaded.family.name, blocks=loaded.family.blocks)
    budget = _budget_bytes(device_bytes, measured.budget_bytes)
    return DiffusersEngine(replace(parts, stays=_stays(model, serving)), info, measured, budget)


def _stays(model: BaseModelSpec, serving: Serving) -> str | None:
    """Why the base cannot leave the device while nobody asks; None: it can."""
    if model.offload is not Offload.NONE:
        return "with model.offload Group the base lies in host memory already: it does not sleep"
    if serving.compile is not CompileMode.OFF:
        return "graphs of a compiled denoiser know its weights by their addresses: it sleeps with serving.compile Off"
    return None


def _check_mode(board: Switchboard, mode: ApplyMode) -> None:
    """Raises: ModelError where whole weights are to be written beside packed ones, which would spare nothing."""
    if board.is_packed and mode is ApplyMode.MERGED:
        raise ModelError("the base is quantized, and serving.mode Merged needs whole weights: take Auto or Unmerged")


@contextmanager
def _device_errors() -> Iterator[None]:
    """What a device says of a base. Raises: ModelError where it is full, DeviceLost where it does not work."""
    try:
        yield
    except RuntimeError as error:
        if is_full(error):
            raise ModelError(f"the device has no room for the base model: {first_line(error)}") from error
        if isinstance(error, torch.AcceleratorError):
            raise DeviceLost(f"the device does not work: {first_line(error)}") from error
        raise


def _budget_bytes(named: int | None, left: int | None) -> int:
    """What the pool names, else what the device has left."""
    if named is None:
        return _USUAL_BUDGET_BYTES if left is None else left
    if left is not None and named > left:
        log.warning("adapters.deviceBudget is more than the device has left", device_bytes=named, left_bytes=left)
    return named
