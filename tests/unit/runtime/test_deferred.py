"""A base that cannot be loaded leaves nothing behind for the next try."""

import weakref

import pytest

from lorapool_api.kinds.runtime import StubTimings
from lorapool_runtime.engine.contract import BaseInfo, Progress, no_progress
from lorapool_runtime.engine.deferred import DeferredEngine
from lorapool_runtime.engine.stub import StubEngine
from lorapool_runtime.errors import ModelError


class Base:
    """Some gigabytes."""

    def __init__(self) -> None:
        self.itself = self  # as modules and their hooks hold each other


class FailsToWarmUp(StubEngine):
    """Has the base in memory when it fails."""

    bases: weakref.WeakSet[Base] = weakref.WeakSet()
    most = 0

    def load(self, progress: Progress = no_progress) -> BaseInfo:
        self.base = Base()
        self.bases.add(self.base)
        type(self).most = max(self.most, len(self.bases))
        raise ModelError("the first forward is not finite")


def test_a_warm_up_that_fails_leaves_no_base_in_memory() -> None:
    engine = DeferredEngine(lambda: FailsToWarmUp("shapes", StubTimings()))
    for _ in range(3):
        with pytest.raises(ModelError):
            engine.load()
    assert FailsToWarmUp.most == 1
