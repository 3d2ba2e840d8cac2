"""Whether and how a pipeline's denoiser is compiled, as the pool says."""

from functools import partial
from types import MappingProxyType
from typing import Any, Final

import structlog
import torch
from torch import nn

from lorapool_api.kinds.serving import CompileMode
from lorapool_runtime.engine.diffusers.compiled.denoiser import CompiledDenoiser, Compiler
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.layers.twin import twin_of

log = structlog.get_logger(__name__)

# No CUDA graphs: torch keeps their state for each thread, and one thread makes the graphs that another one runs.
_MODES: Final = MappingProxyType(
    {CompileMode.DEFAULT: "default", CompileMode.MAX_AUTOTUNE: "max-autotune-no-cudagraphs"}
)


def compiled_denoiser(pipeline: Any, board: Switchboard, mode: CompileMode) -> CompiledDenoiser | None:
    """The pipeline's denoiser, to be compiled by and by; None where the pool wants it eager, or it must be.

    Raises: torch.OutOfMemoryError: no room for its weights once more.
    """
    if mode not in _MODES:
        return None
    model = getattr(pipeline, "unet", None) or pipeline.transformer
    compiler = partial(torch.compile, mode=_MODES[mode], fullgraph=True, dynamic=False)
    return with_twin(model, board, compiler)


def with_twin(model: nn.Module, board: Switchboard, compiler: Compiler, **options: Any) -> CompiledDenoiser | None:
    """The model compiled beside its own use; adapters are merged into the twin's weights from now on.

    Returns:
        None where weights of the model are not plain numbers, which nothing can be merged into.
    """
    twin = twin_of(model)
    if twin is None:
        log.warning("a base with quantized weights is not compiled: nothing can be merged into them")
        return None
    board.fix(twin.weights)
    return CompiledDenoiser(model, twin.model, lambda: board.is_fixed_whole, compiler, **options)
