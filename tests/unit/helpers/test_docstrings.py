"""What a docstring must say: what a class is, and which errors a public function raises itself."""

import ast
from collections.abc import Iterator

from tests.unit.helpers.sources import modules

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _raises(function: Function) -> bool:
    """Whether the function itself, not one within it, raises an error of its own."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            # A name in lower case is an error that was handed over.
            return not isinstance(node.exc, ast.Name) or node.exc.id[0].isupper()
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return False


def _is_validator(function: Function) -> bool:
    """pydantic's, whose errors are of its model."""
    return any("validator" in ast.unparse(decorator) for decorator in function.decorator_list)


def _public(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    for scope in scopes:
        for node in scope.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                yield node
                scopes += [node] if isinstance(node, ast.ClassDef) else []


def _slips(tree: ast.Module) -> Iterator[str]:
    for node in _public(tree):
        text = ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef):
            if not text:
                yield f"{node.lineno}: {node.name} has no docstring"
        elif "aises" not in text and _raises(node) and not _is_validator(node):
            yield f"{node.lineno}: {node.name} does not say what it raises"


def test_classes_say_what_they_are_and_functions_what_they_raise() -> None:
    assert {path: slips for path, tree in modules().items() if (slips := list(_slips(tree)))} == {}
