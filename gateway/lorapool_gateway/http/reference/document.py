"""All routes as OpenAPI describes them, from what stands at each: pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

OPENAPI: Final = "3.1.1"
_AT: Final = "#/components/schemas/{model}"
_ABOUT: Final = """Images by diffusion models and LoRA adapters, in the dialects of several clients.
Each path may have `/pools/NAMESPACE/NAME` before it, which names the pool."""
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "password": {"type": "http", "scheme": "basic", "description": "The key is the password of any user."},
}
# Whether a key is asked for is up to the installation.
_SECURITY: Final[Sequence[Mapping[str, Sequence[str]]]] = [{"bearer": []}, {"key": []}, {"password": []}, {}]


def document(routers: Sequence[APIRouter], version: str) -> dict[str, Any]:
    """The whole description. Raises: KeyError, for a route that says nothing of itself."""
    routes = list(routes_of(routers))
    models: dict[str, type[BaseModel]] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted(route.methods or ()):
            paths.setdefault(route.path_format, {})[method.lower()] = _named(_operation(route, method), models)
    _, definitions = models_json_schema([(model, "validation") for model in models.values()], ref_template=_AT)
    return {
        "openapi": OPENAPI,
        "info": {"title": "lorapool", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SCHEMES},
    }


def routes_of(routers: Sequence[APIRouter]) -> Iterable[APIRoute]:
    """The routes that the pages describe."""
    return (r for router in routers for r in router.routes if isinstance(r, APIRoute) and r.include_in_schema)


def _operation(route: APIRoute, method: str) -> dict[str, Any]:
    said = dict(route.openapi_extra or {})
    parameters = [*_of_path(route), *said.pop("parameters", ())]
    name = re.sub(r"\W+", "_", f"{method.lower()}_{route.path_format.strip('/')}").strip("_")
    responses = said.pop("responses")
    if method == "HEAD":
        responses = {code: {**answer, "content": {}} for code, answer in responses.items()}
    found = {"operationId": name, **said, "responses": responses}
    return found | ({"parameters": parameters} if parameters else {})


def _of_path(route: APIRoute) -> list[dict[str, Any]]:
    text = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in route.param_convertors]


def _named(value: Any, models: dict[str, type[BaseModel]]) -> Any:
    """The value with a reference in place of each type, which is noted."""
    if isinstance(value, type) and issubclass(value, BaseModel):
        if models.setdefault(value.__name__, value) is not value:
            raise KeyError(f"two types are called {value.__name__}")
        return {"$ref": _AT.format(model=value.__name__)}
    if isinstance(value, Mapping):
        return {key: _named(inner, models) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_named(inner, models) for inner in value]
    return value
