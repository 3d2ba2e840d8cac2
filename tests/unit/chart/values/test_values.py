"""The chart's values and their schema belong together."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our dependencies
import yaml
from tests.unit.chart.helm import CHART

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_schema_is_a_schema_and_the_defaults_follow_it() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").removeprefix("#/definitions/")
    return dict(SCHEMA["definitions"][reference]) if reference else schema


def _differences(values: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    known = _resolved(schema).get("properties")
    if known is None:
        return
    yield from (f"{path}.{name}" for name in known.keys() ^ values.keys())
    for name, value in values.items():
        if isinstance(value, dict) and name in known:
            yield from _differences(value, known[name], f"{path}.{name}")


def test_every_value_has_a_default_and_every_default_a_rule() -> None:
    known = set(_differences(VALUES, SCHEMA, ""))
    # Helm's own, and one that only some clusters know.
    others = {".global", ".operator.resources.claims", ".gateway.resources.claims"}
    # Of an earlier chart: `helm upgrade --reuse-values` brings it.
    assert known <= others | {".networkPolicy.runtimeNamespaces"}
