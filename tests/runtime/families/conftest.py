"""An engine on the tiny pipeline of each family, made once where a test asks for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.families.table import TINY
from tests.runtime.conftest import make_engine

from lorapool_runtime.engine.diffusers.engine import DiffusersEngine


@dataclass(frozen=True)
class Served:
    """A tiny base: its folder, and the engine on it."""

    folder: Path
    engine: DiffusersEngine


@pytest.fixture(scope="session")
def serve(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Served]:
    made: dict[str, Served] = {}
    models: Any = tmp_path_factory.mktemp("families")

    def served(name: str) -> Served:
        if name not in made:
            folder = TINY[name].make(models / name.lower().replace(" ", "-"))
            made[name] = Served(folder, make_engine(folder))
        return made[name]

    return served
