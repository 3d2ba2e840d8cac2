"""Whether and how a pipeline's denoiser is compiled, as the pool says."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import structlog
import torch
from torch import nn

from lorapool_api.kinds.serving import CompileMode
from lorapool_runtime.engine.diffusers.compiled.denoiser import CompiledDenoiser, Compiler, Forward
from lorapool_runtime.engine.diffusers.compiled.tracing import trace_own_thread_only
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.layers.twin import twin_of

log = structlog.get_logger(__name__)

# No CUDA graphs: torch keeps their state for each thread, and one thread makes the graphs that another one runs.
_OPTIONS: Final[Mapping[CompileMode, Mapping[str, bool]]] = MappingProxyType(
    {CompileMode.DEFAULT: {}, CompileMode.MAX_AUTOTUNE: {"max_autotune": True, "coordinate_descent_tuning": True}}
)


# Room for pairs, of all adapters of a batch together; more run eagerly: of SDXL, 128 take 0.7 GiB in 16 bits.
_RANKS: Final = (32, 128)


def graph_compiler(mode: CompileMode = CompileMode.DEFAULT, backend: Any = "inductor") -> Compiler:
    """Makes the graphs of a twin: one for each kind of arguments, and no break in it.

    Nothing of a twin ever changes but what is in its weights, so a graph's guards on its modules are left out: looking
    through them before each forward took a tenth of it in a small UNet. Without them a graph would fit another model's
    twin as well, hence `isolate_recompiles`.

    Raises: KeyError for a mode without graphs.
    """
    options: dict[str, Any] = {**_OPTIONS[mode], "guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}
    trace_own_thread_only()
    # torch's overloads do not name all that it takes.
    settings: dict[str, Any] = {"backend": backend, "fullgraph": True, "dynamic": False, "isolate_recompiles": True}

    def compiled(forward: Forward) -> Forward:
        # A copy: torch takes the filter out of what it is given.
        made: Forward = torch.compile(forward, options=dict(options), **settings)
        return made

    return compiled


def compiled_denoiser(pipeline: Any, board: Switchboard, mode: CompileMode) -> CompiledDenoiser | None:
    """The pipeline's denoiser, to be compiled by and by; None where the pool wants it eager, or it must be.

    Raises: torch.OutOfMemoryError: no room for its weights once more.
    """
    if mode not in _OPTIONS:
        return None
    model = getattr(pipeline, "unet", None) or pipeline.transformer
    return with_twin(model, board, graph_compiler(mode), ranks=_RANKS)


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
    return CompiledDenoiser(model, twin.model, lambda: board.is_fixed_whole, compiler, board.additions, **options)
