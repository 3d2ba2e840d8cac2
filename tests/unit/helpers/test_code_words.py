"""One word for one thing, in all packages: caught exceptions, loggers, fields of log events, units."""

import ast
from collections.abc import Iterator

from tests.unit.helpers.sources import modules

LOGGER = "log = structlog.get_logger(__name__)"


def _slips(tree: ast.Module) -> Iterator[str]:
    """What in a file is called otherwise than elsewhere, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name not in (None, "error"):
            yield f"{node.lineno}: an exception is `error`, not `{node.name}`"
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id.endswith("_SECONDS"):
            yield f"{node.lineno}: a number of seconds ends in `_S`, not `_SECONDS`"
        if isinstance(node, ast.Assign) and "get_logger" in ast.unparse(node.value) and ast.unparse(node) != LOGGER:
            yield f"{node.lineno}: a module's logger is `{LOGGER}`"
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
            for field in node.keywords:
                if field.arg == "problem" or (field.arg == "message" and ".message" in ast.unparse(field.value)):
                    yield f"{node.lineno}: the text of an exception is logged as `error=`"
                if field.arg == "seconds":
                    yield f"{node.lineno}: seconds are logged as what they are, with `_s` at the end"
                if field.arg == "reason" and ast.unparse(field.value).startswith("str("):
                    yield f"{node.lineno}: `reason=` is a typed reason; the text of an exception is `error=`"


def test_exceptions_loggers_log_fields_and_units_have_one_word_each() -> None:
    assert {path: slips for path, tree in modules().items() if (slips := list(_slips(tree)))} == {}
