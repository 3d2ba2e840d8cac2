"""What is left to do for a picture whose engine has gone on."""

import gc
import weakref
from typing import Any

from lorapool_runtime.adapters.file import HostAdapter, ScaledAdapter
from lorapool_runtime.engine.contract import Recipe, RenderRequest
from lorapool_runtime.engine.diffusers.render.batches import batches_of, unfinished
from lorapool_runtime.engine.result import Rendering
from lorapool_runtime.engine.stub import StubAdapter

RECIPE = Recipe("a", "", 64, 64, 1, 1.0, None, 1, 1)


def test_what_waits_for_its_end_holds_no_weights() -> None:
    adapter: HostAdapter = StubAdapter("id", "sha", 10)
    held = weakref.ref(adapter)
    requests = [RenderRequest(RECIPE, (ScaledAdapter(adapter, 1.0, "default/a"),))]
    runs: Any = [object()]
    ends = unfinished(requests, batches_of(requests, None), runs, lambda *_: Rendering((), 0.0, 0.0, 0.0))
    del adapter, requests
    gc.collect()
    assert held() is None
    assert len(ends) == 1
