"""The chart's values, described once: the comments of values.yaml are its README's table and its schema's descriptions.

`make chart-values` writes both; `--check` fails where one is stale or a value has no comment.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path("charts/lorapool")
_BEGIN: Final = "<!-- The values: written from the comments of values.yaml by `make chart-values`. -->\n"
_END: Final = "<!-- The end of the values. -->\n"
_NO_COMMENT: Final = "{} has no comment in values.yaml"
_NO_SCHEMA: Final = "{} is not in values.schema.json"

Schema = dict[str, Any]


class ValuesError(Exception):
    """A value that is not described, or a file that has no place for what is written."""


@dataclass(frozen=True)
class Value:
    """One key of values.yaml.

    Attributes:
        path: its keys from the top.
        default: as it stands there; None for a group of other values.
        description: the comment above it, on one line; empty where there is none.
    """

    path: tuple[str, ...]
    default: str | None
    description: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read_values(text: str) -> list[Value]:
    """Every key of the file in its order: groups, and the values in them.

    A mapping in block style is a group. Any other node is a value: scalars, lists, mappings in braces.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValuesError("values.yaml is no mapping")
    return list(_read(root, (), text.splitlines()))


def _read(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        here = (*path, key.value)
        description = _comment_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield Value(here, None, description)
            yield from _read(value, here, lines)
        else:
            yield Value(here, _on_one_line(value), description)


def _comment_above(lines: list[str], line: int) -> str:
    """The comment lines that stand right above that line, joined."""
    begin = line
    while begin > 0 and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[begin:line])


def _on_one_line(node: yaml.Node) -> str:
    """The value as JSON: short, and YAML too."""
    return json.dumps(yaml.SafeLoader("").construct_document(node))


def table(values: list[Value]) -> str:
    """The values as a table in Markdown. Raises: ValuesError for one without a comment."""
    missing = [
        _NO_COMMENT.format(value.name) for value in values if value.default is not None and not value.description
    ]
    if missing:
        raise ValuesError("\n".join(missing))
    rows = [_row(value) for value in values if value.description]
    return "\n".join(["| value | default | what it is |", "| --- | --- | --- |", *rows]) + "\n"


def _row(value: Value) -> str:
    default = "" if value.default is None else f"`{_in_a_cell(value.default)}`"
    return f"| `{value.name}` | {default} | {_in_a_cell(value.description)} |"


def _in_a_cell(text: str) -> str:
    # Words in angle brackets would be taken for HTML where they are no code.
    return re.sub(r"<(\w+)>", r"&lt;\1&gt;", text.replace("|", "\\|"))


def readme(before: str, values: list[Value]) -> str:
    """The README with the table between its two marks. Raises: ValuesError."""
    head, begin, rest = before.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValuesError(f"the chart's README has no lines {_BEGIN.strip()} and {_END.strip()}")
    return f"{head}{_BEGIN}\n{table(values)}\n{_END}{tail}"


def schema(before: str, values: list[Value]) -> str:
    """The schema with a description at each value. Raises: ValuesError for a value that it does not have."""
    written: Schema = json.loads(before)
    for value in values:
        properties = _properties_around(written, value.path)
        if value.path[-1] not in properties:
            raise ValuesError(_NO_SCHEMA.format(value.name))
        if value.description:
            rule = properties[value.path[-1]]
            properties[value.path[-1]] = {"description": value.description} | _without_description(rule)
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"


def _without_description(rule: Schema) -> Schema:
    return {key: part for key, part in rule.items() if key != "description"}


def _properties_around(written: Schema, path: tuple[str, ...]) -> Schema:
    """The `properties` that hold the last key of the path.

    What several values share stands in `definitions`. A group that is such a reference gets a copy of its own: its
    values have defaults and descriptions of their own.
    """
    properties: Schema = written["properties"]
    for depth, key in enumerate(path[:-1], 1):
        if key not in properties:
            raise ValuesError(_NO_SCHEMA.format(".".join(path[:depth])))
        rule = properties[key]
        if reference := rule.get("$ref"):
            shared = written["definitions"][reference.removeprefix("#/definitions/")]
            rule = _without_reference(rule) | json.loads(json.dumps(shared))
            properties[key] = rule
        properties = rule.get("properties", {})
    return properties


def _without_reference(rule: Schema) -> Schema:
    return {key: part for key, part in rule.items() if key != "$ref"}


def main() -> None:
    """Write both files, or with `--check` fail where one is stale."""
    parser = argparse.ArgumentParser(description="Write the chart's table of values and its schema's descriptions.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check = parser.parse_args().check
    try:
        values = read_values((CHART / "values.yaml").read_text("utf-8"))
        files = {
            CHART / "README.md": readme((CHART / "README.md").read_text("utf-8"), values),
            CHART / "values.schema.json": schema((CHART / "values.schema.json").read_text("utf-8"), values),
        }
    except ValuesError as error:
        sys.exit(str(error))
    stale = [path for path, text in files.items() if path.read_text("utf-8") != text]
    if check and stale:
        sys.exit(f"stale: {', '.join(map(str, stale))}; run `make chart-values`")
    for path in stale:
        path.write_text(files[path], "utf-8")


if __name__ == "__main__":
    main()
