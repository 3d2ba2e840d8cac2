"""Every family, with an adapter, does what diffusers' own pipeline does with its own loader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.families.own import STEPS, STRENGTH, OwnPipeline, changes_of, left_half, picture
from tests.families.table import TINY
from tests.runtime.ask import distance, image, read
from tests.runtime.families.conftest import Served

from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.passes import Start
from lorapool_runtime.errors import RecipeError

# Rounding of float32 moves a pixel by 1 of 255, and twice where a picture is read and written.
ROUNDING, SEEN = 2, 8

Serve = Callable[[str], Served]


def asked(name: str, task: Task) -> dict[str, Any]:
    """What a request says of the picture."""
    side = TINY[name].side
    mask = left_half(side) if task is Task.INPAINTING else None
    start = None if task is Task.TEXT_TO_IMAGE else Start(picture(side), mask, STRENGTH)
    return {"start": start, "width": side, "height": side, "scheduler": None, "steps": STEPS}


# Chroma's own code still uses it.
@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", TINY)
def test_a_family_makes_what_diffusers_makes(name: str, task: Task, serve: Serve, tmp_path: Path) -> None:
    served, wanted = serve(name), asked(name, task)
    engine = served.engine
    assert engine.parts.family.name == name
    if task not in engine.parts.family.pipelines:
        with pytest.raises(RecipeError, match=f"does no {task}: it does "):
            image(engine, **wanted)
        return
    changes = changes_of(name, engine.parts.pipeline)
    path = tiny.write_diffusers(tmp_path / "a.safetensors", changes)
    mine = image(engine, (read(engine, path), 1.0), **wanted)
    reference = OwnPipeline(served.folder, engine.parts.family, task)
    bare = image(engine, **wanted)
    assert distance(bare, reference.image()) <= ROUNDING
    reference.load(path, changes)
    assert distance(mine, reference.image()) <= ROUNDING
    assert distance(mine, bare) > SEEN
