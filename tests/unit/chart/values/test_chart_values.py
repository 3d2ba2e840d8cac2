"""The comments of values.yaml are what users read: in the README's table and in the schema's descriptions."""

import json

import pytest
from scripts.chart_values import Value, ValuesError, read_values, readme, schema, table
from tests.unit.chart.helm import CHART

TEXT = """# The head of the file, apart from the values.

# Where | from.
image:
  # One of
  # several lines.
  tag: ""
  tags: [a, {b: 1}]
# Off: none.
on: {}
"""


def test_a_comment_is_what_stands_right_above_its_value() -> None:
    assert read_values(TEXT) == [
        Value(("image",), None, "Where | from."),
        Value(("image", "tag"), '""', "One of several lines."),
        Value(("image", "tags"), '["a", {"b": 1}]', ""),
        Value(("on",), "{}", "Off: none."),
    ]


def test_a_value_without_a_comment_is_refused_by_name() -> None:
    with pytest.raises(ValuesError, match=r"image\.tags has no comment"):
        table(read_values(TEXT))


def test_the_table_has_a_row_for_each_value_and_each_group_that_is_described() -> None:
    rows = table([v for v in read_values(TEXT) if v.description]).splitlines()
    assert rows[2:] == [
        r"| `image` |  | Where \| from. |",
        '| `image.tag` | `""` | One of several lines. |',
        "| `on` | `{}` | Off: none. |",
    ]


def test_the_schema_gets_descriptions_and_keeps_its_rules() -> None:
    shared = {"type": "object", "properties": {"tag": {"type": "string"}, "tags": {"type": "array"}}}
    before = {"definitions": {"image": shared}, "properties": {"image": {"$ref": "#/definitions/image"}, "on": {}}}
    after = json.loads(schema(json.dumps(before), read_values(TEXT)))
    assert after["properties"]["image"] == {
        "description": "Where | from.",
        "type": "object",
        "properties": {"tag": {"description": "One of several lines.", "type": "string"}, "tags": {"type": "array"}},
    }
    assert after["definitions"] == before["definitions"]


def test_a_value_that_the_schema_lacks_is_refused_by_name() -> None:
    with pytest.raises(ValuesError, match="image is not in"):
        schema('{"properties": {}}', read_values(TEXT))


def test_a_readme_without_marks_is_not_written_over() -> None:
    with pytest.raises(ValuesError, match="README"):
        readme("# The chart\n", [])


def test_every_value_of_the_chart_is_described_where_users_look() -> None:
    values = read_values((CHART / "values.yaml").read_text("utf-8"))
    assert len(values) > 50
    before = (CHART / "README.md").read_text("utf-8"), (CHART / "values.schema.json").read_text("utf-8")
    assert (readme(before[0], values), schema(before[1], values)) == before
