"""The engine that the configuration names. Only the diffusers engine imports torch."""

import time
from functools import partial

from lorapool_api.kinds.runtime import EngineName
from lorapool_runtime.engine.contract import LoadEngine, Progress, WarmEngine
from lorapool_runtime.engine.stub import load_stub
from lorapool_runtime.settings import Settings


def engine_loader(settings: Settings) -> LoadEngine:
    """What loads the engine. Nothing is loaded yet, not even its libraries: health must answer meanwhile."""
    config = settings.config
    if config.engine is EngineName.STUB:
        return partial(load_stub, config.model.source.label, config.stub)
    return partial(_load_diffusers, settings)


def _load_diffusers(settings: Settings, progress: Progress) -> WarmEngine:
    start = time.monotonic()
    from lorapool_runtime.engine.diffusers.load import load_engine

    imported_s = time.monotonic() - start
    config = settings.config
    budget = config.budgets.device_bytes
    return load_engine(settings.model, config.device, budget, config.serving, progress, imported_s=imported_s)
