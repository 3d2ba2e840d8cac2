"""The engine that the configuration names. Only the diffusers engine imports torch."""

from lorapool_api.kinds.runtime import EngineName
from lorapool_runtime.engine.contract import Engine
from lorapool_runtime.engine.deferred import DeferredEngine
from lorapool_runtime.engine.stub import StubEngine
from lorapool_runtime.settings import Settings


def make_engine(settings: Settings) -> Engine:
    """The engine, nothing loaded yet, not even its libraries."""
    config = settings.config
    if config.engine is EngineName.STUB:
        return StubEngine(config.model.source.label, config.stub)

    def diffusers() -> Engine:
        from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

        return DiffusersEngine(settings.model, config.device, config.budgets.device_bytes, config.serving)

    return DeferredEngine(diffusers)
