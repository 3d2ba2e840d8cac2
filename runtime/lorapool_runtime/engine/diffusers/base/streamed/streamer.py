"""Tensors of a base by Run:ai's model streamer: many reads of a file at once, into a few buffers that are used again.

For volumes that answer slowly but many at once, where a mapped file is read page after page.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from typing import Any, Final

import structlog
import torch

from lorapool_api.kinds.base_model import BaseModelSpec, Loading
from lorapool_runtime.engine.contract import Progress
from lorapool_runtime.engine.diffusers.base.converted import LoadOptions, Source
from lorapool_runtime.engine.diffusers.base.mapped import DTYPES
from lorapool_runtime.errors import ModelError

log = structlog.get_logger(__name__)

_PACKAGE: Final = "runai_model_streamer"
# The package takes it from the environment, and 40 GB where nobody says.
_LIMIT: Final = "RUNAI_STREAMER_MEMORY_LIMIT"
_BUFFERS_BYTES: Final = 1024**3


def is_streamed(spec: BaseModelSpec) -> bool:
    """Whether the pool asks for it and this image has the package. Without it files are mapped: the same result."""
    if spec.loading is not Loading.STREAMED:
        return False
    if find_spec(_PACKAGE) is not None:
        return True
    log.warning("model.loading Streamed needs the package of lorapool[streamer]; the base's files are mapped")
    return False


@contextmanager
def streaming(
    wanted: Sequence[Source], target: LoadOptions, progress: Progress, packed: Collection[Source] = ()
) -> Iterator[Callable[[Source], torch.Tensor]]:
    """As `converted.converting`: the same numbers, read another way. One file after the other, in a thread; of host
    memory it takes a gigabyte for buffers, or twice the largest tensor, beside what the tensors take in the end.

    Of a tensor that is asked for: ModelError for a file that cannot be read or a dtype that no base has,
    torch.OutOfMemoryError.
    """
    largest = max((source.size_bytes for source in wanted), default=0)
    os.environ.setdefault(_LIMIT, str(max(_BUFFERS_BYTES, 2 * largest)))
    total = sum(source.size_bytes for source in wanted) or 1
    tensors: dict[Source, Future[torch.Tensor]] = {source: Future() for source in wanted}
    is_over = False

    def read() -> None:
        done = 0
        try:
            for source, stored in _read(wanted):
                if is_over:
                    return
                value = _converted(source, stored, target)
                if source in packed and target.packing is not None:
                    value = target.packing.pack(value)
                tensors[source].set_result(value)
                done += source.size_bytes
                progress(done / total)
        except (ModelError, torch.OutOfMemoryError, torch.AcceleratorError) as error:
            _fail(tensors.values(), error)
        except Exception as error:  # noqa: BLE001 -- the package raises ValueError for whatever its library says
            _fail(tensors.values(), ModelError(f"the base's files cannot be streamed: {error}"))

    with ThreadPoolExecutor(1, "stream") as pool:
        pool.submit(read)
        try:
            yield lambda source: tensors[source].result()
        finally:
            is_over = True


def _read(wanted: Sequence[Source]) -> Iterator[tuple[Source, torch.Tensor]]:
    """Each tensor as it lies in its file, to be copied before the next one comes."""
    streamer: Any = import_module(_PACKAGE).SafetensorsStreamer
    ordered = sorted(wanted, key=lambda source: str(source.file.path))
    for path, of_file in groupby(ordered, key=lambda source: source.file.path):
        sources = {source.name: source for source in of_file}
        for source in sources.values():
            if source.info.dtype not in DTYPES:
                raise ModelError(f"{path}: {source.name} has dtype {source.info.dtype}, which no base is loaded from")
        with streamer() as stream:
            stream.stream_file(str(path), device="cpu", tensor_names=sources.keys(), owned=False)
            for name, tensor in stream.get_tensors():
                yield sources[name], tensor


@torch.no_grad()
def _converted(source: Source, stored: torch.Tensor, target: LoadOptions) -> torch.Tensor:
    dtype = target.dtype if stored.is_floating_point() else stored.dtype
    shaped = stored.view(source.info.shape)
    moved = shaped.to(target.device).to(dtype)
    # What is not moved and not converted is still the streamer's buffer.
    return moved.clone() if moved.untyped_storage().data_ptr() == stored.untyped_storage().data_ptr() else moved


def _fail(tensors: Collection[Future[torch.Tensor]], error: BaseException) -> None:
    for tensor in tensors:
        if not tensor.done():
            tensor.set_exception(error)
