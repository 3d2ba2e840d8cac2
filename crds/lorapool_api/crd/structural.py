"""A pydantic model's JSON schema as the structural schema that Kubernetes asks for.

Kubernetes takes no `$ref`, no `const`, no nullable unions and only boolean exclusive bounds; every list needs a bound,
or the cost of CEL rules below it is estimated without end.
"""

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = ("title", "examples", "discriminator", "const")
_DEFAULT_MAX_ITEMS = 64
_DEFAULT_MAX_PROPERTIES = 64


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of a model, with nothing that an API server refuses."""
    root = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(root, root.get("$defs", {}))


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _inlined(node, definitions)
    if node.get("x-kubernetes-int-or-string"):
        return {k: v for k, v in node.items() if k not in (*_DROPPED, "anyOf", "type")} | {
            "anyOf": [{"type": "integer"}, {"type": "string"}]
        }
    converted = {k: v for k, v in node.items() if k not in (*_DROPPED, "$defs")}
    if converted.pop("uniqueItems", False):
        converted["x-kubernetes-list-type"] = "set"
    if "properties" in converted:
        converted["properties"] = {k: _convert(v, definitions) for k, v in converted["properties"].items()}
    if "items" in converted:
        converted["items"] = _convert(converted["items"], definitions)
        converted.setdefault("maxItems", _DEFAULT_MAX_ITEMS)
    if isinstance(values := converted.get("additionalProperties"), dict):
        converted["additionalProperties"] = _convert(values, definitions)
        converted.setdefault("maxProperties", _DEFAULT_MAX_PROPERTIES)
    elif "additionalProperties" in converted:
        del converted["additionalProperties"]
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in converted:
            converted[bound.lower()] = converted[f"exclusive{bound}"]
            converted[f"exclusive{bound}"] = True
    return _with_default(converted)


def _with_default(node: Schema) -> Schema:
    """Defaults are written out in full: an API server runs the CEL rules on them too. Nulls are no values to it."""
    default = _without_nothing(node.pop("default", None))
    return node if default in (None, []) else node | {"default": default}


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v for k, v in ((k, _without_nothing(v)) for k, v in value.items()) if v not in (None, [])}
    return value


def _inlined(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """The node without `$ref` and without the null branch of an optional field; what stands beside them wins."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _inlined(target | {k: v for k, v in node.items() if k != "$ref"}, definitions)
    branches = [b for b in node.get("anyOf", []) if b.get("type") != "null"]
    if len(branches) == 1:
        return _inlined(branches[0] | {k: v for k, v in node.items() if k != "anyOf"}, definitions)
    return node
