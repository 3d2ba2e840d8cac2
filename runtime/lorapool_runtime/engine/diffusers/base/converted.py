"""The tensors of mapped files, brought to dtype and device on several threads while others build the modules."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

import torch

from lorapool_api.lora.header import TensorInfo
from lorapool_runtime.engine.contract import Progress
from lorapool_runtime.engine.diffusers.base.mapped import MappedFile
from lorapool_runtime.engine.diffusers.host_threads import one_thread
from lorapool_runtime.engine.diffusers.packed.packing import Packing

_MOST_THREADS: Final = 8


@dataclass(frozen=True)
class LoadOptions:
    """How the modules are wanted; `streamed`: their files are read by the streamer, and not mapped."""

    dtype: torch.dtype
    device: torch.device
    variant: str | None = None
    packing: Packing | None = None
    streamed: bool = False


@dataclass(frozen=True, eq=False)
class Source:
    """Where a tensor's bytes are."""

    file: MappedFile
    name: str

    @property
    def info(self) -> TensorInfo:
        return self.file.header.tensors[self.name]

    @property
    def size_bytes(self) -> int:
        return self.info.end - self.info.begin


def sources(files: Sequence[MappedFile]) -> dict[str, Source]:
    """By the tensors' names; of shards together."""
    return {name: Source(file, name) for file in files for name in file.header.tensors}


@contextmanager
def converting(
    wanted: Sequence[Source], target: LoadOptions, progress: Progress, packed: Collection[Source] = ()
) -> Iterator[Callable[[Source], torch.Tensor]]:
    """What waits for one of the tensors; what was not asked for at the end may never have been read. Those of `packed`
    are packed as soon as they are there: no more than one for each thread is on the device as a whole.

    Largest first: one tensor's pages come from disk while others are converted, and small ones fill the end.
    Of a tensor that is asked for: ModelError for a dtype that no base has, torch.OutOfMemoryError.
    """
    total = sum(source.size_bytes for source in wanted) or 1
    done, lock = 0, Lock()

    def convert(source: Source) -> torch.Tensor:
        nonlocal done
        # Helpers of several threads at once would wait for each other.
        with one_thread():
            value = _converted(source, target)
            if source in packed and target.packing is not None:
                value = target.packing.pack(value)
        with lock:
            done += source.size_bytes
            progress(done / total)
        return value

    with ThreadPoolExecutor(_threads(), "convert") as pool:
        futures = {s: pool.submit(convert, s) for s in sorted(wanted, key=lambda s: -s.size_bytes)}
        try:
            yield lambda source: futures[source].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _threads() -> int:
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)))


@torch.no_grad()
def _converted(source: Source, target: LoadOptions) -> torch.Tensor:
    stored = source.file.tensor(source.name)
    dtype = target.dtype if stored.is_floating_point() else stored.dtype
    # To the device first: it converts faster than the host.
    value = stored.to(target.device).to(dtype)
    if value.data_ptr() != stored.data_ptr():
        source.file.drop_pages(source.info)
    return value
