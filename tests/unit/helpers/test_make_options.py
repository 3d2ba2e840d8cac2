"""What `make` hands on where nobody says: a comma ends a value of `$(or ...)`, and the rest of a list is lost."""

import subprocess

import pytest
from tests.unit.helpers.sources import ROOT


@pytest.mark.parametrize(("given", "wanted"), [((), "1,2,3,4,5"), (("SEEDS=7,8",), "7,8")])
def test_random_users_have_all_their_seeds(given: tuple[str, ...], wanted: str) -> None:
    told = ("make", "--dry-run", "--old-file=setup", *given, "chaos")
    said = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert f"LORAPOOL_CHAOS_SEEDS={wanted} " in said.stdout
