"""Short words for what the engine's tests do again and again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests import tiny

from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.lora.fit import check_fits
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter, Sidecars
from lorapool_runtime.engine.contract import Recipe, RenderRequest, WarmEngine
from lorapool_runtime.engine.result import Rendering, Result, Unfinished
from lorapool_runtime.errors import RuntimeFailure
from lorapool_runtime.sources.blobs import hash_file

Pixels = NDArray[np.uint8]


def recipe(**changes: Any) -> Recipe:
    plain: dict[str, Any] = {
        "prompt": "a red circle",
        "negative_prompt": "",
        "width": tiny.SIZE,
        "height": tiny.SIZE,
        "steps": 3,
        "guidance_scale": 3.0,
        "scheduler": SchedulerName.EULER_A,
        "seed": 7,
        "images": 1,
    }
    return Recipe(**plain | changes)


def adapter_file(path: Path) -> AdapterFile:
    """The file as the store hands it over."""
    config, words = path.with_name("adapter_config.json"), path.with_name("embeddings.safetensors")
    beside = Sidecars(*(file.read_bytes() if file.exists() else None for file in (config, words)))
    return AdapterFile(path, hash_file(path), check_file(path, max_rank=128), beside)


def read(engine: WarmEngine, path: Path) -> HostAdapter:
    """As the pod reads it. Raises: AdapterError, FactsError."""
    file = adapter_file(path)
    check_fits(file.facts, engine.info.modules)
    return engine.read(file)


def image(engine: WarmEngine, *stack: tuple[HostAdapter, float | Weighting], **changes: Any) -> Pixels:
    """The engine's picture with these adapters."""
    return np.asarray(rendered(engine, request(*stack, **changes)).images[0])


def request(*stack: tuple[HostAdapter, float | Weighting], **changes: Any) -> RenderRequest[HostAdapter]:
    """A request for a picture with these adapters."""
    scaled = tuple(ScaledAdapter(adapter, scale, f"test/{i}") for i, (adapter, scale) in enumerate(stack))
    return RenderRequest(recipe(**changes), scaled)


def rendered(engine: WarmEngine, wanted: RenderRequest[HostAdapter]) -> Rendering:
    """What the engine makes of one request. Raises: what it failed with."""
    (result,) = finished(engine.render([wanted]))
    if isinstance(result, RuntimeFailure):
        raise result
    return result


def finished(results: Sequence[Result]) -> list[Rendering | RuntimeFailure]:
    """What becomes of each request; what is no failure of a request is raised."""
    return [_finished(result) for result in results]


def _finished(result: Result) -> Rendering | RuntimeFailure:
    try:
        return result.finish() if isinstance(result, Unfinished) else result
    except RuntimeFailure as failure:
        return failure


def reference_image(pipeline: Any, call: Mapping[str, Any] | None = None, **changes: Any) -> Pixels:
    """The picture of diffusers itself, by the same recipe; `call`: what it is called with besides."""
    from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler

    wanted = recipe(**changes)
    pipeline.scheduler, _ = make_scheduler(pipeline.scheduler, wanted.scheduler)
    with torch.inference_mode():
        made = pipeline(
            prompt=wanted.prompt,
            width=wanted.width,
            height=wanted.height,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(wanted.seed),
            **call or {},
        )
    return np.asarray(made.images[0])


def distance(one: Pixels, other: Pixels) -> int:
    """The largest difference of a pixel, in 1/255."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())
