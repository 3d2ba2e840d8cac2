"""The short way to routes that take a request whole: FastAPI looks for parameters and dependencies that they lack."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

Refuse = Callable[[Request, Exception], Awaitable[Response]]


class DirectPosts:
    """Middleware: answers POST to such routes; all else passes. The routes stay where they are, for who lists them.

    Routes are tried in their order, as FastAPI does.
    """

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter], refuse: Mapping[type[Exception], Refuse]) -> None:
        """`refuse` makes an answer of an exception of its class; others pass."""
        self._app = app
        self._refuse = refuse
        self._errors = tuple(refuse)
        routes = [route for router in routers for route in router.routes]
        self._posts = [route for route in routes if isinstance(route, APIRoute) and "POST" in (route.methods or ())]
        self._direct = [_takes_all(route) for route in self._posts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it here, or further in."""
        found = self._match(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        endpoint, params = found
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request, **params)
        except self._errors as error:
            refuse = next(made for kind, made in self._refuse.items() if isinstance(error, kind))
            response = await refuse(request, error)
        await response(scope, receive, send)

    def _match(self, scope: Scope) -> tuple[Callable[..., Awaitable[Response]], dict[str, Any]] | None:
        """The endpoint and what the path says to it; None where the first route of that path is no such one."""
        for route, is_direct in zip(self._posts, self._direct, strict=True):
            if found := route.path_regex.match(scope["path"]):
                said = {name: route.param_convertors[name].convert(text) for name, text in found.groupdict().items()}
                return (route.endpoint, said) if is_direct else None
        return None


def _takes_all(route: APIRoute) -> bool:
    """Whether its endpoint has no parameter but the request and those of the path, and answers itself."""
    signature = inspect.signature(route.endpoint)
    names = {"request", *route.param_convertors}
    return signature.return_annotation is Response and set(signature.parameters) == names
