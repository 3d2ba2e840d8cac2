"""The part of the control port by which the pods of a pool give each other files."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse

from lorapool_api.wire.fleet import Assignment, FileFound, FileQuery
from lorapool_api.wire.state import PodState
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.http import body

MAX_WAIT_S: Final = 60.0
_QUERY_MAX_BYTES: Final = 64 << 10
# A hundred thousand keys.
_ASSIGNMENT_MAX_BYTES: Final = 32 << 20


def fleet_routes(runtime: Runtime) -> APIRouter:
    """The routes, see `lorapool_api.wire`."""
    routes = APIRouter()

    @routes.put("/v1/assignment")
    async def assign(request: Request) -> PodState:
        return runtime.assign(await body.read(request, Assignment, _ASSIGNMENT_MAX_BYTES))

    @routes.post("/v1/files")
    async def find(request: Request, wait: Annotated[float, Query(ge=0)] = 0) -> FileFound:
        query = await body.read(request, FileQuery, _QUERY_MAX_BYTES)
        return await runtime.fleet.find(query, min(wait, MAX_WAIT_S))

    @routes.get("/v1/blobs/{sha256}")
    async def blob(sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> FileResponse:
        path = await asyncio.to_thread(runtime.fleet.blob, sha256)
        return FileResponse(path, media_type="application/octet-stream")

    return routes
