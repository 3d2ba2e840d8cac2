"""Pods with the stub engine in one process: `python -m lorapool_bench.fleet.pods FOLDER TOKEN_FOLDER PORT...`.

Each has a folder of its own and listens at that control port of 127.0.0.1, its serving port is the next one.
"""

import asyncio
import logging
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device, EngineName
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.config import RuntimeConfig
from lorapool_bench.fleet.stalls import watch
from lorapool_common.supervision import Supervisor
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.engine.choose import engine_loader
from lorapool_runtime.process import running
from lorapool_runtime.settings import Settings

CONFIG = RuntimeConfig(
    pool="bench/pool",
    model=BaseModelSpec(source=ModelSource(path="/models/bench"), dtype=Dtype.FLOAT32),
    engine=EngineName.STUB,
    device=Device.CPU,
)


async def serve(folder: Path, tokens: Path, ports: list[int]) -> None:
    """Until the process is killed."""
    async with AsyncExitStack() as stack:
        watching = asyncio.create_task(watch(folder / f"stalls-{os.getpid()}"))
        stack.callback(watching.cancel)
        for port in ports:
            settings = Settings(
                config=CONFIG,
                pod_name=f"pod-{port}",
                listen="127.0.0.1",
                control_port=port,
                serving_port=port + 1,
                cache_dir=folder / str(port),
                control_token_dir=tokens,
            )
            settings.cache.mkdir(parents=True)
            runtime = Runtime(settings, engine_loader(settings), time.monotonic())
            await stack.enter_async_context(running(runtime, Supervisor()))
        await asyncio.Event().wait()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), [int(port) for port in sys.argv[3:]]))
