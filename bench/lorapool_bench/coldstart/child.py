"""One load in this process, which is fresh for it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.sources import ModelSource
from lorapool_bench.measure.machine import peak_bytes
from lorapool_bench.measure.quiet import quiet
from lorapool_runtime.engine.contract import no_progress
from lorapool_runtime.engine.diffusers.base.by_family import DTYPES
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline


def by_lorapool(folder: Path, dtype: Dtype, device: Device) -> Any:
    # Not validated: a temporary folder may have any name.
    spec = BaseModelSpec(source=ModelSource.model_construct(path=str(folder)), dtype=dtype)
    return load_pipeline(spec, device, no_progress).pipeline


def by_diffusers(folder: Path, dtype: Dtype, device: Device) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(folder, dtype=DTYPES[dtype]).to(device.value)


def by_diffusers_converting(folder: Path, dtype: Dtype, device: Device) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(folder).to(device.value, DTYPES[dtype])


WAYS: Final[Mapping[str, Callable[[Path, Dtype, Device], Any]]] = MappingProxyType(
    {
        "lorapool": by_lorapool,
        "diffusers": by_diffusers,
        "diffusers, converting": by_diffusers_converting,
    }
)


def touch(pipeline: Any) -> None:
    """Read every weight."""
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            for parameter in component.parameters():
                parameter.sum()


def own_bytes() -> int:
    """Memory that is this process's own."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def measure(way: str, folder: Path, first: Path, dtype: Dtype, device: Device) -> dict[str, float]:
    """The figures of one load; `first` is a small pipeline that is loaded before the clock starts."""
    quiet()
    # What the libraries import and set up at their first use is not the loader's, whichever it is.
    WAYS[way](first, dtype, device)
    start = time.perf_counter()
    pipeline = WAYS[way](folder, dtype, device)
    loaded = time.perf_counter()
    with torch.inference_mode():
        touch(pipeline)
    return {
        "load_s": loaded - start,
        "touch_s": time.perf_counter() - loaded,
        "peak_bytes": peak_bytes(),
        "own_bytes": own_bytes(),
    }
