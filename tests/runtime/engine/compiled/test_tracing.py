"""A trace is of the thread that makes it: pictures that are drawn meanwhile are what they are without it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from lorapool_runtime.engine.diffusers.compiled.tracing import trace_own_thread_only

_DEADLINE_S = 60
_CALL = nn.Module.__call__


@contextmanager
def traced_elsewhere(root: Any, made: list[torch.fx.Graph]) -> Iterator[None]:
    """While it lasts, another thread is in the middle of a trace of the root: all but its output is recorded."""
    trace_own_thread_only()
    begun, go_on = threading.Event(), threading.Event()

    class Paused(torch.fx.Tracer):
        def create_node(self, kind: str, *args: Any, **kwargs: Any) -> Any:
            if kind == "output":  # what modules do is still torch.fx's
                begun.set()
                assert go_on.wait(_DEADLINE_S)
            return super().create_node(kind, *args, **kwargs)

    thread = threading.Thread(target=lambda: made.append(Paused().trace(root)))
    thread.start()
    try:
        assert begun.wait(_DEADLINE_S)
        yield
    finally:
        go_on.set()
        thread.join(_DEADLINE_S)


def test_a_module_runs_while_another_thread_traces() -> None:
    model, x, made = nn.Sequential(nn.Linear(4, 4), nn.SiLU()), torch.randn(2, 4), list[torch.fx.Graph]()
    before = model(x)
    with traced_elsewhere(lambda value: value + 1, made):
        assert nn.Module.__call__ is not _CALL, "torch.fx has taken its place"
        assert torch.equal(model(x), before)
    assert nn.Module.__call__ is _CALL
    assert [node.op for node in made[0].nodes] == ["placeholder", "call_function", "output"]


def test_parameters_are_themselves_while_another_thread_traces_the_model_that_has_them() -> None:
    """A twin has the same parameters as the model beside it."""
    first, beside, x, made = nn.Linear(4, 4), nn.Linear(4, 4), torch.randn(2, 4), list[torch.fx.Graph]()
    model = nn.Sequential(first, nn.SiLU())
    beside.weight, beside.bias = first.weight, first.bias
    before = beside(x)
    with traced_elsewhere(model, made):
        assert beside.weight is first.weight
        assert torch.equal(beside(x), before)
    assert [node.op for node in made[0].nodes] == ["placeholder", "call_module", "call_module", "output"]


def test_the_thread_that_traces_records_what_it_calls() -> None:
    trace_own_thread_only()
    trace_own_thread_only()

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            # Another trace, in the middle of this one.
            torch.fx.symbolic_trace(lambda value: value)
            return self.inner(x) + self.inner.bias

    graph = torch.fx.symbolic_trace(Outer()).graph
    assert [node.op for node in graph.nodes] == ["placeholder", "call_module", "get_attr", "call_function", "output"]


def test_a_trace_that_fails_leaves_the_thread_as_it_was() -> None:
    trace_own_thread_only()

    def fails(value: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        torch.fx.symbolic_trace(fails)
    model, made = nn.Linear(4, 4), list[torch.fx.Graph]()
    with traced_elsewhere(lambda value: value, made):
        assert model(torch.zeros(1, 4)).shape == (1, 4)
