"""A class name means one thing in all packages."""

import ast
from collections import defaultdict

from tests.unit.helpers.sources import modules

# Names that several parts have on purpose.
ALLOWED = {
    "Settings",  # of each part's process, from its environment
    "Metrics",  # of each part's process, at /metrics
}


def _where() -> dict[str, list[str]]:
    """The files that define a class of each name."""
    files: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                files[node.name].append(path)
    return files


def _duplicates() -> dict[str, list[str]]:
    return {name: files for name, files in _where().items() if len(files) > 1}


def test_no_two_classes_have_the_same_name() -> None:
    assert {name: files for name, files in _duplicates().items() if name not in ALLOWED} == {}


def test_names_that_several_parts_may_have_are_those_of_several() -> None:
    assert ALLOWED - _duplicates().keys() == set()
