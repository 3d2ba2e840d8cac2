"""The project's Python files, parsed, for tests that read code."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("crds", "common", "operator", "gateway", "runtime", "local", "bench", "models")


def modules() -> dict[str, ast.Module]:
    """The syntax tree of each file of the product, by its path from the project's root."""
    return {path: tree for package in PACKAGES for path, tree in _trees(package).items()}


def modules_of_tests() -> dict[str, ast.Module]:
    """The same of the tests."""
    return _trees("tests")


@cache
def _trees(folder: str) -> dict[str, ast.Module]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in files}
