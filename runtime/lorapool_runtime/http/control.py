"""The control port: the catalog comes in, the state goes out. Only for the operator; files also for the pool's pods."""

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import BaseReport
from lorapool_common.http.server import App
from lorapool_common.signed.calls import Verifier
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import body, errors, long_state
from lorapool_runtime.http.fleet import MAX_WAIT_S, add_fleet_routes
from lorapool_runtime.http.gates.by_signature import SignatureGate
from lorapool_runtime.http.gates.by_token import TokenGate


def control_app(runtime: Runtime) -> FastAPI:
    """The routes of the control port, see `lorapool_api.wire`."""
    app = FastAPI(title="lorapool runtime control", openapi_url=None)
    errors.install(app)

    @app.exception_handler(RequestValidationError)
    async def on_bad_query(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        message = f"{first['loc'][-1]}: {first['msg']}"
        return errors.reply(RequestError(ErrorCode.INVALID_REQUEST, message))

    @app.get("/v1/base")
    async def base() -> BaseReport:
        return runtime.base_report()

    @app.put("/v1/catalog")
    async def replace(request: Request) -> Response:
        catalog = await body.read_long(request, Catalog, "entries", CatalogEntry, body.CATALOG_MAX_BYTES)
        await runtime.replace_catalog(catalog)
        return await long_state.reply(*runtime.state_rows())

    @app.patch("/v1/catalog")
    async def patch(request: Request) -> Response:
        delta = await body.read_long(request, CatalogDelta, "upsert", CatalogEntry, body.CATALOG_MAX_BYTES)
        return long_state.short_reply(await runtime.patch_catalog(delta))

    add_fleet_routes(app, runtime)

    @app.get("/v1/state")
    async def state(
        since: Annotated[int | None, Query(ge=0)] = None,
        instance: str | None = None,
        wait: Annotated[float, Query(ge=0)] = 0,
        gone: bool = False,
    ) -> Response:
        if since is None or instance != runtime.instance:
            return await long_state.reply(*runtime.state_rows())
        await runtime.until_changed(since, min(wait, MAX_WAIT_S))
        return await long_state.reply(*runtime.state_rows(since, names_gone=gone))

    return app


def gated_control(app: FastAPI, token: Callable[[], str], verifier: Verifier | None) -> App:
    """The port for calls that the operator has signed; what pods ask each other needs the token as it is now. None: the
    token opens all of it."""
    by_token = TokenGate(app, token)
    return by_token if verifier is None else SignatureGate(app, verifier, by_token, _is_for_pods)


def _is_for_pods(path: str) -> bool:
    return path.startswith(("/v1/files", "/v1/blobs/"))
