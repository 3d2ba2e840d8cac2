"""The README of each part shows all rooms of its package and no other; that of the project shows all parts."""

import re
from pathlib import Path

import pytest
from tests.unit.helpers.sources import PACKAGES, ROOT

# What is not written yet. Nothing is added: who writes one takes it off.
KNOWN: set[str] = {
    "bench",
    "models",
}


def _shown(readme: Path) -> set[str]:
    """Folders that a line of a table or of a drawing begins with."""
    lines = readme.read_text("utf-8").splitlines()
    found = (re.match(r"(?:\| )?(?:\[)?`?([a-z_]+)/(?:`|\]|\s)", line) for line in lines)
    return {match[1] for match in found if match}


def _rooms(part: str) -> set[str]:
    package = ROOT / part / f"lorapool_{'api' if part == 'crds' else part}"
    return {file.parent.name for file in package.glob("*/__init__.py")}


@pytest.mark.parametrize("part", PACKAGES)
def test_a_readme_shows_the_rooms_of_its_part(part: str) -> None:
    readme = ROOT / part / "README.md"
    # A part may have other folders beside its package: weights, results.
    shown = {name for name in _shown(readme) if not (ROOT / part / name).is_dir()} if readme.exists() else set()
    if part in KNOWN:
        assert shown != _rooms(part), "this is written: take it off the list"
    else:
        assert shown == _rooms(part)


def test_the_projects_readme_shows_every_part() -> None:
    assert set(PACKAGES) <= _shown(ROOT / "README.md")
