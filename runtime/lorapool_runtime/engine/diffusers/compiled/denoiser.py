"""A denoiser that is compiled while it serves: eagerly until its graph is there, then by the graph."""

import functools
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog
import torch
from torch import nn

from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.diffusers.compiled.ranked import Additions, RankedKind, RankedTwin, kind_of
from lorapool_runtime.engine.diffusers.compiled.shapes import Arguments, kept, rows_of, shape_key

log = structlog.get_logger(__name__)

# One for each size, number of pictures, kind of sampler and room for pairs that is asked for; fewer than dynamo keeps
# of a function.
MOST_GRAPHS: Final = 6

Forward = Callable[..., Any]
# Makes of a function another that runs it by graphs.
Compiler = Callable[[Forward], Forward]


class CompiledDenoiser:
    """Stands in for a model's forward. For the engine's thread; graphs are made on a thread of their own, one by one.

    A graph is of the twin, whose weights a switch writes, or of one that adds pairs to each row, which a switch writes
    too: no switch asks for another graph. What a graph does not fit is run eagerly, never compiled while a request
    waits, and counted.

    Attributes:
        twin: what the graphs are of where adapters are merged, or there is none.
        ranked: those that add pairs.
    """

    def __init__(
        self,
        model: nn.Module,
        twin: nn.Module,
        is_whole: Callable[[], bool],
        compiler: Compiler,
        additions: Callable[[], Additions] = tuple,
        *,
        ranks: Sequence[int] = (),
        stance: str = "eager_on_recompile",
        most: int = MOST_GRAPHS,
    ) -> None:
        """Takes the place of the model's forward.

        Args:
            is_whole: whether the twin's weights are what is active.
            additions: the pairs that are, where they are all that is; empty: they are not.
            ranks: that twins have room for in each module, ascending.
            stance: of `torch.compiler.set_stance`, for a graph's forwards.
            most: graphs that are made at all.
        """
        self.twin = twin
        self._eager: Forward = model.forward
        self._is_whole = is_whole
        self._stance = stance
        self._most = most
        self._model = model
        self._compiler = compiler
        self._additions = additions
        self._ranks = ranks
        self.ranked: dict[RankedKind, RankedTwin] = {}
        self._graphs: dict[RankedKind | None, Forward] = {None: compiler(self._through(twin))}
        self._ready: set[Hashable] = set()
        self._requested: set[Hashable] = set()
        # One of both: dynamo's state is the process's, and a graph may not run while another is traced.
        self._lock = threading.Lock()
        self._making = threading.Event()
        self._is_run = False
        self._kinds: dict[int, RankedKind | None] = {}  # of so many rows, and what was written, in this run
        self._written: dict[RankedKind, Additions] = {}
        self._by_graph: bool | None = None
        self._misses = 0
        self._eager_runs = 0

        @functools.wraps(self._eager)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._forward((args, kwargs))

        model.__dict__["forward"] = forward

    @property
    def figures(self) -> CompileFigures:
        """Any thread."""
        return CompileFigures(len(self._ready), self._misses, self._eager_runs)

    @property
    def pair_bytes(self) -> int:
        """Memory for pairs. Any thread."""
        return sum(twin.size_bytes for twin in list(self.ranked.values()))

    @contextmanager
    def one_run(self) -> Iterator[None]:
        """While it lasts, all forwards go one way: a picture whose steps were rounded in two ways would be neither."""
        self._is_run, self._by_graph = True, None
        self._kinds.clear()
        self._written.clear()
        try:
            yield
        finally:
            if self._by_graph:
                self._lock.release()
            else:
                self._eager_runs += 1
            self._is_run, self._by_graph = False, None

    def _forward(self, arguments: Arguments) -> Any:
        args, kwargs = arguments
        if not self._is_run:
            return self._eager(*args, **kwargs)
        is_whole = self._is_whole()
        kind = None if is_whole else self._kind(rows_of(arguments))
        if kind is None and not is_whole:
            return self._eager(*args, **kwargs)
        key = (kind, shape_key(arguments))
        if self._by_graph is None:
            self._by_graph = key in self._ready and not self._making.is_set() and self._lock.acquire(blocking=False)
        if not self._by_graph or key not in self._ready:
            self._request(kind, key, arguments)
            return self._eager(*args, **kwargs)
        # Strengths may change from step to step; the pairs stay, and with them the kind.
        if kind is not None and self._written.get(kind) is not (additions := self._additions()):
            self.ranked[kind].write(additions)
            self._written[kind] = additions
        with torch.compiler.set_stance(self._stance):  # type: ignore[arg-type]
            return self._graphs[kind](*args, **kwargs)

    def _kind(self, rows: int) -> RankedKind | None:
        if rows not in self._kinds:
            self._kinds[rows] = kind_of(self._additions(), rows, self._ranks)
        return self._kinds[rows]

    def _through(self, twin: nn.Module) -> Forward:
        def through(*args: Any, **kwargs: Any) -> Any:
            if not torch.compiler.is_compiling():
                self._misses += 1  # no graph fits, though one was made for these arguments
            return twin(*args, **kwargs)

        return through

    def _request(self, kind: RankedKind | None, key: tuple[Hashable, Hashable], arguments: Arguments) -> None:
        is_wanted = key[1] is not None and key not in self._requested
        if not is_wanted or len(self._requested) >= self._most or self._making.is_set():
            return
        self._requested.add(key)
        if not self._has_twin(kind):
            return
        self._making.set()
        # Ends with the process, whatever it is at: nobody waits for a graph.
        threading.Thread(target=self._make, args=(kind, key, kept(arguments)), name="compile", daemon=True).start()

    def _has_twin(self, kind: RankedKind | None) -> bool:
        """Whether there is a twin of that kind, which is made where there is room for it."""
        if kind is not None and kind not in self.ranked:
            try:
                twin = RankedTwin(self._model, kind)
            except torch.OutOfMemoryError:
                log.warning("the device has no room for pairs beside a graph; they are added eagerly", **kind._asdict())
                return False
            self._graphs[kind] = self._compiler(self._through(twin.model))
            self.ranked[kind] = twin
        return True

    def _make(self, kind: RankedKind | None, key: Hashable, arguments: Arguments) -> None:
        args, kwargs = arguments
        began_s, is_made = time.monotonic(), False
        try:
            with self._lock, torch.inference_mode():
                misses = self._misses
                self._graphs[kind](*args, **kwargs)
                is_made, self._misses = self._misses == misses, misses
        except Exception as error:
            # Whatever a compiler says of a model, the pod serves on without it.
            log.exception("the denoiser cannot be compiled; it runs eagerly", error=type(error).__name__)
        # In this order: who sees that a graph is there can use it at once.
        self._making.clear()
        if is_made:
            self._ready.add(key)
            log.info("the denoiser is compiled", graphs=len(self._ready), took_s=round(time.monotonic() - began_s, 3))
