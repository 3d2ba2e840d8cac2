"""The product's Python files, parsed, for tests that read code."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("crds", "common", "operator", "gateway", "runtime", "local", "bench", "models")


@cache
def modules() -> dict[str, ast.Module]:
    """The syntax tree of each file, by its path from the project's root."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in files}
