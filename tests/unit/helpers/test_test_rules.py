"""What no test does: pause in real time, replace parts of the product, read its private attributes."""

import ast
from collections.abc import Callable, Iterator

from tests.unit.helpers.sources import modules_of_tests

# They wait for what no event announces, sample how long a loop is held, look at pods as a kubelet would.
PAUSING = ("tests/waiting.py", "tests/hostile.py", "tests/cluster/operator/fakes.py")
# A longer sleep stands for "for ever": a child process that is ended, a fake that never answers.
FOR_EVER_S = 60
OWN = ("self", "cls")


def _calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in names)


def _pauses(tree: ast.Module) -> Iterator[str]:
    for call in _calls(tree, "asyncio.sleep", "time.sleep", "sleep"):
        seconds = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        is_named = seconds is None and ast.unparse(call.func) != "asyncio.sleep"
        if is_named or (isinstance(seconds, int | float) and 0 < seconds < FOR_EVER_S):
            yield f"{call.lineno}: {ast.unparse(call)}"


def _product_names(tree: ast.Module) -> set[str]:
    """Names that the file has imported from the product."""
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (node.module or "" if isinstance(node, ast.ImportFrom) else alias.name).startswith("lorapool_")
    }


def _is_product(target: ast.expr, names: set[str]) -> bool:
    if isinstance(target, ast.Constant):
        return str(target.value).startswith("lorapool_")
    return ast.unparse(target).partition(".")[0] in names


def _patches(tree: ast.Module) -> Iterator[str]:
    names = _product_names(tree)
    for call in _calls(tree, "monkeypatch.setattr", "monkeypatch.delattr", "patch", "mock.patch"):
        if _is_product(call.args[0], names) or ast.unparse(call.args[1]).startswith("'_"):
            yield f"{call.lineno}: {ast.unparse(call)}"
    for assignment in (node for node in ast.walk(tree) if isinstance(node, ast.Assign)):
        for target in assignment.targets:
            if isinstance(target, ast.Attribute) and _is_product(target.value, names):
                yield f"{assignment.lineno}: {ast.unparse(assignment)}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _private(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and ast.unparse(node.value) not in OWN:
            yield f"{node.lineno}: {ast.unparse(node)}"


Slips = Callable[[ast.Module], Iterator[str]]


def _found(slips: Slips) -> dict[str, list[str]]:
    return {
        path: found for path, tree in modules_of_tests().items() if path not in PAUSING and (found := list(slips(tree)))
    }


def test_no_test_pauses_in_real_time() -> None:
    """Wait on an event, or with `tests.waiting` where none announces it; let a clock be a parameter."""
    assert _found(_pauses) == {}


def test_no_test_replaces_a_part_of_the_product() -> None:
    """What a test must set is a parameter that is missing."""
    assert _found(_patches) == {}


def test_no_test_reads_a_private_attribute_of_another() -> None:
    """Behaviour is tested by what it does, or by a public observer."""
    assert _found(_private) == {}
