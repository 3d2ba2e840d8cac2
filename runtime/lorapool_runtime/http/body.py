"""Reading a request's body: bounded, and with one clear sentence about what is wrong with it."""

from typing import Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from lorapool_api.wire.gateways import pictures
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import GENERATE_MAX_BYTES, GenerateRequest
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_common.validation import first_error
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http.rows import read_rows

# A thousand entries have some hundred kilobytes.
CATALOG_MAX_BYTES: Final = 64 * 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


async def read(request: Request, model: type[Model], max_bytes: int) -> Model:
    """The body as that model. Raises: RequestError (`TooLarge`, `InvalidRequest`)."""
    try:
        return model.model_validate_json(await _bytes(request, max_bytes))
    except ValidationError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, sentence(error)) from error


async def read_request(request: Request) -> tuple[GenerateRequest, tuple[memoryview, ...]]:
    """A request for images, and the pictures beside it. Raises: RequestError (`TooLarge`, `InvalidRequest`)."""
    if request.headers.get("content-type") != pictures.MEDIA_TYPE:
        return await read(request, GenerateRequest, GENERATE_MAX_BYTES), ()
    content = await _bytes(request, GENERATE_MAX_BYTES)
    try:
        return pictures.split(content)
    except ValidationError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, sentence(error)) from error
    except ValueError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, f"the body is no request with pictures: {error}") from error


async def read_long(request: Request, model: type[Model], rows: str, row: type[BaseModel], max_bytes: int) -> Model:
    """The body as that model, whose list `rows` may be long: the event loop has its turns while it is read.

    Raises: RequestError (`TooLarge`, `InvalidRequest`).
    """
    content = await _bytes(request, max_bytes)
    try:
        fields = await read_rows(content, rows, row.model_validate)
        found = tuple(fields.get(rows, ()))
        bare = model.model_validate(fields | ({rows: ()} if rows in fields else {}))
        return bare.model_copy(update={rows: found})
    except ValidationError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, sentence(error)) from error
    except ValueError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, f"the body is no JSON of that kind: {error}"[:300]) from error


async def _bytes(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    try:
        return await read_at_most(request.stream(), max_bytes)
    except TooLarge:
        raise _too_large(max_bytes) from None


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(ErrorCode.TOO_LARGE, f"the body has more than {max_bytes} bytes")


def sentence(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    place, first = first_error(error)
    return f"{place}: {first['msg']}" if place else str(first["msg"])
