"""The engine that the configuration names. Only the diffusers engine imports torch."""

import time
from functools import partial
from pathlib import Path

from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.contract import LoadEngine, Progress, WarmEngine
from lorapool_runtime.engine.files.read_ahead import CHECKER, read_ahead
from lorapool_runtime.engine.stub import NO_CHECKER, load_stub
from lorapool_runtime.errors import ModelError
from lorapool_runtime.settings import Settings


def engine_loader(settings: Settings) -> LoadEngine:
    """What loads the engine. Nothing is loaded yet, not even its libraries: health must answer meanwhile."""
    config = settings.config
    if config.engine is EngineName.STUB:
        return partial(_load_stub, settings)
    return partial(_load_diffusers, settings)


def _folder_here(source: ModelSource) -> Path | None:
    """Where the base's files are, if they are there already."""
    if source.hub is None:
        return Path(source.path) if source.path is not None else None
    # Not before the environment of the process says where its cache is.
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(source.hub.repo, "model_index.json", revision=source.hub.revision)
    return Path(index).parent if isinstance(index, str) else None


def _asks_its_own(settings: Settings) -> bool:
    """Whether pictures are looked at by the checker that the base brings along."""
    safety = settings.config.serving.safety
    return safety is not None and safety.pipeline


def _load_stub(settings: Settings, progress: Progress) -> WarmEngine:
    config = settings.config
    if _asks_its_own(settings):
        raise ModelError(NO_CHECKER)
    return load_stub(config.model.source.label, config.stub, progress)


def _load_diffusers(settings: Settings, progress: Progress) -> WarmEngine:
    start = time.monotonic()
    config, source = settings.config, settings.model.source
    if (folder := _folder_here(source)) is not None:
        read_ahead(folder, source.hub.variant if source.hub else None, () if _asks_its_own(settings) else (CHECKER,))
    # torch alone comes first: its context takes as long as the other libraries.
    from lorapool_runtime.engine.diffusers.device.context import begin_context

    begin_context(config.device)
    from lorapool_runtime.engine.diffusers.load import load_engine

    imported_s = time.monotonic() - start
    budget = config.budgets.device_bytes
    return load_engine(settings.model, config.device, budget, config.serving, progress, imported_s=imported_s)
