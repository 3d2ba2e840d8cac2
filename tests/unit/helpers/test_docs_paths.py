"""What the documents name exists: paths, links with their anchors, modules and what is defined in them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.unit.helpers.sources import PACKAGES, ROOT, modules

FOLDERS = (*PACKAGES, "charts", "docs", "examples", "requirements", "scripts", "tests")
# The cards of models and adapters are written by the training, for a repository of their own.
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *(f for folder in FOLDERS for f in sorted((ROOT / folder).rglob("*.md")) if "weights" not in f.parts),
]
# Paths of other places: of a pod's cache, of a training's cache.
ELSEWHERE = {"checked/"}
# Of what was changed, under the names that it had then.
DATED = {"CHANGELOG.md"}

_PATH = re.compile(r"(?:[\w.*<>-]+/)*(?:[\w.-]+\.(?:py|md|yaml|mk|json|toml|sh|in|txt)|[\w.*-]+/)")
_MODULE = re.compile(r"lorapool_\w+(?:\.\w+)+")


def _relative(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@cache
def _anchors(document: Path) -> set[str]:
    text = _without_code_blocks(document.read_text("utf-8"))
    return {_slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@cache
def _files() -> tuple[str, ...]:
    """All files and folders, with a bar before and, of folders, behind."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts)
    return tuple(f"/{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}" for path in found)


def _missing_links(document: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code_blocks(document.read_text("utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = document.parent / path if path else document
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            yield target


def _missing_paths(document: Path) -> Iterator[str]:
    """Paths from the project's root or from the document's folder; elsewhere than in CONTRIBUTING also their ends."""
    is_strict = document.name == "CONTRIBUTING.md"
    for named in re.findall(r"`([^`\n]+)`", _without_code_blocks(document.read_text("utf-8"))):
        if not _PATH.fullmatch(named) or named in ELSEWHERE:
            continue
        pattern = re.sub(r"<\w+>|NAME", "*", named)
        if any(list(folder.glob(pattern.rstrip("/"))) for folder in (ROOT, document.parent)):
            continue
        if is_strict or not any(path.endswith(f"/{named}") for path in _files()):
            yield named


def _missing_in_code_blocks(document: Path) -> Iterator[str]:
    for block in re.findall(r"^```.*?^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for word in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]+", block):
            if not (ROOT / word).exists():
                yield word


def _defined(tree: ast.Module) -> set[str]:
    """Names that a module defines, and those within its classes."""
    scopes: list[ast.Module | ast.ClassDef] = [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]
    nodes = [node for scope in scopes for node in scope.body]
    named = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
    targets = (t for n in nodes if isinstance(n, ast.Assign | ast.AnnAssign) for t in ast.walk(n))
    return named | {target.id for target in targets if isinstance(target, ast.Name)}


@cache
def _trees() -> dict[str, ast.Module]:
    """Each module by its dotted name."""
    return {
        path.partition("/")[2].removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree
        for path, tree in modules().items()
    }


def exists(dotted: str) -> bool:
    """Whether a module of that name exists, or what the last words of the name are within one."""
    module, _, rest = dotted.rpartition(".")
    while dotted not in _trees() and module and module not in _trees():
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}"
    return dotted in _trees() or (module in _trees() and set(rest.split(".")) <= _defined(_trees()[module]))


def _missing_modules(document: Path) -> Iterator[str]:
    return (name for name in _MODULE.findall(document.read_text("utf-8")) if not exists(name))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.name not in DATED], ids=_relative)
def test_what_a_document_names_exists(document: Path) -> None:
    missing = [
        *_missing_links(document),
        *_missing_paths(document),
        *_missing_in_code_blocks(document),
        *_missing_modules(document),
    ]
    assert missing == []
