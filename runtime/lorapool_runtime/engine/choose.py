"""The engine that the configuration names. Only the diffusers engine imports torch."""

from lorapool_api import pool
from lorapool_api.wire import RuntimeConfig

from lorapool_runtime.engine.contract import Engine
from lorapool_runtime.engine.deferred import DeferredEngine
from lorapool_runtime.engine.stub import StubEngine


def make_engine(config: RuntimeConfig, device_bytes: int) -> Engine:
    """The engine, nothing loaded yet, not even its libraries."""
    if config.engine is pool.Engine.STUB:
        return StubEngine(config.model.source.label, config.stub)

    def diffusers() -> Engine:
        from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

        return DiffusersEngine(config.model, config.device, device_bytes)

    return DeferredEngine(diffusers)
