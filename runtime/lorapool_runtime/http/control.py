"""The control port: the catalog comes in, the state goes out. Only for who has the pool's token."""

import asyncio
import hmac
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import BaseReport, PodState
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.control_token import read_token
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import body, errors
from lorapool_runtime.http.fleet import MAX_WAIT_S, fleet_routes


def control_app(runtime: Runtime, token_file: Path) -> FastAPI:
    """The routes of the control port, see `lorapool_api.wire`."""
    app = FastAPI(title="lorapool runtime control", openapi_url=None, dependencies=[Depends(_token_check(token_file))])
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
    async def replace(request: Request) -> PodState:
        return runtime.replace_catalog(await body.read(request, Catalog, body.CATALOG_MAX_BYTES))

    @app.patch("/v1/catalog")
    async def patch(request: Request) -> PodState:
        return runtime.patch_catalog(await body.read(request, CatalogDelta, body.CATALOG_MAX_BYTES))

    app.include_router(fleet_routes(runtime))

    @app.get("/v1/state")
    async def state(
        since: Annotated[int | None, Query(ge=0)] = None,
        instance: str | None = None,
        wait: Annotated[float, Query(ge=0)] = 0,
    ) -> PodState:
        if since is None or instance != runtime.instance:
            return runtime.state()
        return await runtime.state_after(since, min(wait, MAX_WAIT_S))

    return app


def _token_check(token_file: Path):  # type: ignore[no-untyped-def]  # a dependency of FastAPI
    async def check(request: Request) -> None:
        """Read anew each time: the Secret behind the file can be rotated."""
        expected = await asyncio.to_thread(read_token, token_file)
        given = request.headers.get("authorization", "")
        if not expected or not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
            raise RequestError(ErrorCode.UNAUTHORIZED, "the control port needs the pool's token")

    return check
