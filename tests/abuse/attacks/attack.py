"""What a hostile client sends, and how requests are written: pure, from a seed."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

HOST: Final = b"gateway"


@dataclass(frozen=True)
class Attack:
    """Bytes for one connection.

    Attributes:
        kind: what is tried, in few words.
        pieces: sent one after the other, each on its own.
        is_whole: a request that is complete, so an answer must come; else the client ends its side after sending.
        goes: the client closes at once, before any answer.
        forbidden: what no answer may contain.
    """

    kind: str
    pieces: tuple[bytes, ...]
    is_whole: bool = True
    goes: bool = False
    forbidden: bytes = b""


Make = Callable[[random.Random], Attack]
Headers = Sequence[tuple[bytes, bytes]]

# Where a body is read, by dialect.
POSTS: Final = (
    "/",
    "/models/bench",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/sdapi/v1/txt2img",
    "/sdapi/v1/img2img",
    "/sdapi/v1/options",
    "/sdapi/v1/png-info",
    "/v1/verify",
    "/v1/jobs",
    "/pools/default/bench/v1/images/generations",
)


def head(method: str, target: bytes, headers: Headers = ()) -> bytes:
    """The head of a request that asks for one answer and the end of the connection."""
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"host: " + HOST, b"connection: close"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(
    kind: str, target: str, body: bytes, content_type: str = "application/json", *more: tuple[bytes, bytes]
) -> Attack:
    """A complete request with that body."""
    length = (b"content-length", str(len(body)).encode())
    given = ((b"content-type", content_type.encode("latin-1", "replace")), length, *more)
    return Attack(kind, (head("POST", target.encode(), given) + body,))


def post_json(kind: str, target: str, said: Any) -> Attack:
    """A complete request with JSON, half surrogates as they are written in it."""
    return post(kind, target, json.dumps(said).encode())
