"""Pods with the stub engine in one process: `python -m lorapool_bench.routing.real.pods --help`.

Each is the runtime itself, at an address of its own, with all adapters in its catalog, and those on its disk that are
assigned to it.
"""

import argparse
import asyncio
import logging
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device, EngineName, StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.sources.basic import PathFile
from lorapool_bench.routing.costs import INFERENCE_S, STEPS
from lorapool_bench.routing.pod import MAX_PENDING, ON_DEVICE
from lorapool_bench.routing.simulation import POOL, on_disks
from lorapool_bench.routing.trace import keys
from lorapool_common.supervision import Supervisor
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.engine.stub import load_stub
from lorapool_runtime.process import running
from lorapool_runtime.settings import Settings

# To an adapter that is on the device: what the gateway assumes of a device that has measured nothing.
SWITCH_S: Final = 0.05
_LABEL: Final = "bench"


def adapter_file(folder: Path, key: str) -> Path:
    """Where an adapter's file lies."""
    return folder / f"{key.rpartition('/')[2]}.safetensors"


def timings(speed: float) -> StubTimings:
    """An A10G's, on a clock that is so many times as fast."""
    return StubTimings(
        step_milliseconds=round(1000 * INFERENCE_S / STEPS / speed), switch_milliseconds=round(1000 * SWITCH_S / speed)
    )


async def serve(folder: Path, speed: float, pods: int, addresses: dict[str, str]) -> None:
    """Until the process is ended."""
    catalog = Catalog.of(CatalogEntry(key=key, source=PathFile(path=str(adapter_file(folder, key)))) for key in keys())
    config = RuntimeConfig(
        pool=POOL, model=BaseModelSpec(source=ModelSource(path=f"/models/{_LABEL}"), dtype=Dtype.FLOAT32),
        engine=EngineName.STUB, device=Device.CPU, stub=timings(speed), serving=Serving(max_pending=MAX_PENDING),
        path_roots=(str(folder),),
    )  # fmt: skip
    load = partial(load_stub, _LABEL, config.stub, on_device=ON_DEVICE)
    held = on_disks(pods)
    async with AsyncExitStack() as stack:
        for name, address in addresses.items():
            settings = Settings(
                config=config, pod_name=name, listen=address, control_port=None, cache_dir=folder / "caches" / name
            )
            settings.cache.mkdir(parents=True)
            runtime = Runtime(settings, load, time.monotonic())
            runtime.assign(Assignment.of(name, {}, held[name]))
            await runtime.replace_catalog(catalog)
            await stack.enter_async_context(running(runtime, Supervisor()))
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with the adapters' files")
    parser.add_argument("speed", type=float)
    parser.add_argument("pods", type=int, help="of the whole pool")
    parser.add_argument("here", nargs="+", help="NAME=ADDRESS of each pod of this process")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    addresses = dict(one.split("=", 1) for one in given.here)
    asyncio.run(serve(given.folder, given.speed, given.pods, addresses))


if __name__ == "__main__":
    main()
