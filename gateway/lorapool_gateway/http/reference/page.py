"""The description of the API as a page for people, without scripts: pure."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
color-scheme: light dark }
h3 { margin: 2rem 0 0.2rem } code, pre { font: 14px/1.4 ui-monospace, monospace } pre { overflow-x: auto }
table { border-collapse: collapse } td, th { border-bottom: 1px solid #8886; padding: 0.2rem 0.8rem 0.2rem 0;
text-align: left; vertical-align: top } summary { cursor: pointer }
"""
_SCHEMAS: Final = "#/components/schemas/"


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    about = document["info"]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(about["title"])}</title>',
            '<meta name="viewport" content="width=device-width">',
            f"<style>{STYLE}</style></head><body>",
            f"<h1>{escape(about['title'])} {escape(about['version'])}</h1><p>{escape(about['description'])}</p>",
            '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI).</p>',
            *_operations(document["paths"]),
            "<h2>Types</h2>",
            *(_type(name, schema) for name, schema in sorted(document["components"]["schemas"].items())),
            "</body></html>",
        ]
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    """By their first tag, in the order of the paths."""
    rows = [(path, method, said) for path, methods in paths.items() for method, said in methods.items()]
    for tag in dict.fromkeys(said["tags"][0] for _, _, said in rows):
        yield f"<h2>{escape(tag)}</h2>"
        for path, method, said in rows:
            if said["tags"][0] == tag and method != "head":
                yield f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(said['summary'])}</p>"
                yield from _details(said)


def _details(said: Mapping[str, Any]) -> Iterator[str]:
    parameters = [
        (p["name"], p["in"], _html(p["schema"]), p.get("description", "")) for p in said.get("parameters", ())
    ]
    if parameters:
        rows = (f"<tr><td><code>{escape(n)}</code><td>{escape(w)}<td>{s}<td>{escape(d)}" for n, w, s, d in parameters)
        yield f"<table><tr><th>parameter<th>in<th>type<th>{''.join(rows)}</table>"
    for media_type, of in said.get("requestBody", {}).get("content", {}).items():
        yield f"<div>Body <code>{escape(media_type)}</code> {_html(of['schema'])}</div>"
    answers = (
        f"<tr><td>{escape(code)}<td>{escape(answer['description'])}<td>{_contents(answer.get('content', {}))}"
        for code, answer in said["responses"].items()
    )
    yield f"<details><summary>Answers</summary><table>{''.join(answers)}</table></details>"


def _contents(content: Mapping[str, Any]) -> str:
    return "<br>".join(f"<code>{escape(kind)}</code> {_html(of['schema'])}" for kind, of in content.items())


def _type(name: str, schema: Mapping[str, Any]) -> str:
    about = f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3><p>{escape(schema.get("description", ""))}</p>'
    if "properties" not in schema:
        return f"{about}{_html(schema)}"
    needed = set(schema.get("required", ()))
    rows = (
        f"<tr><td><code>{escape(field)}</code>{' (required)' if field in needed else ''}<td>{_html(of)}"
        f"<td>{escape(of.get('description', ''))}"
        for field, of in schema["properties"].items()
    )
    return f"{about}<table>{''.join(rows)}</table>"


def _html(schema: Mapping[str, Any]) -> str:
    """A schema in one line, with links to other types."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_SCHEMAS))
        return f'<a href="#{name}"><code>{name}</code></a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_html(one) for one in schema[key])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_html(schema.get('items', {}))}"
    return escape(str(schema.get("type", "bytes" if not schema else "any")))
