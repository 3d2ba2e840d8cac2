"""The part of the control port by which the pods of a pool give each other files.

Asked a thousand times in a row: routes without FastAPI's work on what comes in and goes out.
"""

import asyncio
import math
import os
import re
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from lorapool_api.wire.credentials import CREDENTIALS_MAX_BYTES, CredentialsDelivery
from lorapool_api.wire.fleet import AssignmentAndDelta, FileQuery
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import body
from lorapool_runtime.sources.pods import carried

MAX_WAIT_S: Final = 60.0
_QUERY_MAX_BYTES: Final = 64 << 10
# A hundred thousand keys.
_ASSIGNMENT_MAX_BYTES: Final = 32 << 20
_SHA256: Final = re.compile("[0-9a-f]{64}")


def add_fleet_routes(app: FastAPI, runtime: Runtime) -> None:
    """The routes, see `lorapool_api.wire`."""

    async def assign(request: Request) -> Response:
        given = await body.read(request, AssignmentAndDelta, _ASSIGNMENT_MAX_BYTES)
        state = runtime.assign(given.alone)  # first: what the pod does not hold it shall not begin to fetch
        if given.delta is not None:
            try:
                state = await runtime.patch_catalog(given.delta)
            except RequestError as error:
                if error.code is not ErrorCode.DIGEST_MISMATCH:
                    raise
        return _json(state.model_dump_json())

    async def deliver(request: Request) -> Response:
        delivery = await body.read(request, CredentialsDelivery, CREDENTIALS_MAX_BYTES)
        return _json(runtime.deliver(delivery).model_dump_json())

    async def find(request: Request) -> Response:
        """The file comes with the answer where it has at most `carry` bytes. `now=1`: nothing is begun for it."""
        wait_s, carry = min(_number(request, "wait"), MAX_WAIT_S), _number(request, "carry")
        query = await body.read(request, FileQuery, _QUERY_MAX_BYTES)
        is_asked_now = bool(_number(request, "now"))
        found = runtime.fleet.find_now(query) if is_asked_now else await runtime.fleet.find(query, wait_s)
        if found.size_bytes <= min(carry, carried.CARRIED_MAX_BYTES):
            content = await asyncio.to_thread(runtime.fleet.content, found)
            if content is not None:
                return Response(carried.joined(found, content), media_type=carried.MEDIA_TYPE)
        return _json(found.model_dump_json())

    async def blob(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        if not _SHA256.fullmatch(sha256):
            raise RequestError(ErrorCode.INVALID_REQUEST, "a file is asked for by its sha256")
        path, status = await asyncio.to_thread(_looked_up, runtime, sha256)
        return FileResponse(path, media_type="application/octet-stream", stat_result=status)

    app.add_route("/v1/assignment", assign, methods=["PUT"])
    app.add_route("/v1/credentials", deliver, methods=["PUT"])
    app.add_route("/v1/files", find, methods=["POST"])
    app.add_route("/v1/blobs/{sha256}", blob, methods=["GET"])


def _looked_up(runtime: Runtime, sha256: str) -> tuple[Path, os.stat_result]:
    """Blocking."""
    path = runtime.fleet.blob(sha256)
    try:
        return path, path.stat()
    except FileNotFoundError as error:
        raise RequestError(ErrorCode.UNKNOWN_ADAPTER, "this pod has no such file any more") from error


def _number(request: Request, name: str) -> float:
    """A number of the query, 0 where it is missing. Raises: RequestError (`InvalidRequest`)."""
    try:
        number = float(request.query_params.get(name, "0"))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{name} must be a number, 0 or more")
    return number


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
