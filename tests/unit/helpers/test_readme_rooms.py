"""The README of each part shows all rooms of its package and no other; that of the project shows all parts."""

import re
from pathlib import Path

import pytest
from tests.unit.helpers.sources import PACKAGES, ROOT


def _shown(readme: Path) -> set[str]:
    """Folders that the first cell of a row, or the first word of a line of a drawing names."""
    lines = readme.read_text("utf-8").splitlines()
    firsts = (line.split("|")[1] if line.startswith("|") else line.partition(" ")[0] for line in lines)
    return {name for first in firsts for name in re.findall(r"(?:^|[`\[/])([a-z_]+)/(?=[`\]]|$)", first)}


def _rooms(part: str) -> set[str]:
    package = ROOT / part / f"lorapool_{'api' if part == 'crds' else part}"
    return {file.parent.name for file in package.glob("*/__init__.py")}


@pytest.mark.parametrize("part", PACKAGES)
def test_a_readme_shows_the_rooms_of_its_part(part: str) -> None:
    # A part may have other folders beside its package: weights, results.
    shown = {name for name in _shown(ROOT / part / "README.md") if not (ROOT / part / name).is_dir()}
    assert shown == _rooms(part)


def test_the_projects_readme_shows_every_part() -> None:
    assert set(PACKAGES) <= _shown(ROOT / "README.md")
