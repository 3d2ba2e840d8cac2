"""A trace by torch.fx, which compiling makes, sees the modules of its own thread only.

While torch.fx traces, `nn.Module.__call__` and `__getattr__` are the trace's, for all threads of the process. It never
asks which thread calls: a picture that is drawn eagerly beside it would fail, since its modules are not those of the
trace, or would get a node of a graph where it asked for a parameter that both have.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, Final

import torch

# Traces that this thread is in the middle of: one may begin in another.
_depth: Final = threading.local()
_INSTALLED: Final = "_lorapool_own_thread"


def trace_own_thread_only() -> None:
    """Changes `torch.fx.Tracer` for the whole process. Again: nothing."""
    tracer: Any = torch.fx.Tracer
    if not hasattr(tracer, _INSTALLED):
        tracer.trace = _marked(tracer.trace)
        tracer.call_module = _own_calls(tracer.call_module)
        tracer.getattr = _own_attributes(tracer.getattr)
        setattr(tracer, _INSTALLED, True)


def _traces() -> int:
    return getattr(_depth, "value", 0)


def _marked(trace: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(trace)
    def marked(*args: Any, **kwargs: Any) -> Any:
        _depth.value = _traces() + 1
        try:
            return trace(*args, **kwargs)
        finally:
            _depth.value -= 1

    return marked


def _own_calls(call_module: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call_module)
    def own(tracer: Any, m: Any, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return call_module(tracer, m, forward, args, kwargs) if _traces() else forward(*args, **kwargs)

    return own


def _own_attributes(attribute: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(attribute)
    def own(tracer: Any, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        return attribute(tracer, attr, attr_val, parameter_proxy_cache) if _traces() else attr_val

    return own
