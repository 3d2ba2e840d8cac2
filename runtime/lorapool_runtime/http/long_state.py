"""The state of a pod as JSON, slice by slice: ten thousand adapters at once would hold up the event loop."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from fastapi import Response
from pydantic import TypeAdapter

from lorapool_api.wire.state import AdapterState, PodState
from lorapool_runtime.turns import LongWork

# An adapter takes some 50 us.
_SLICE: Final = 100
_ADAPTERS: Final = TypeAdapter(dict[str, AdapterState])


async def reply(state: PodState, rows: Iterable[tuple[str, AdapterState]]) -> Response:
    """The state, its `adapters` from the rows."""
    turns: Iterator[tuple[str, AdapterState]] = iter(rows)
    written: list[bytes] = []
    work = LongWork()
    while some := dict(islice(turns, _SLICE)):
        written.append(_ADAPTERS.dump_json(some)[1:-1])
        await work.pause()
    rest = state.model_dump_json(exclude={"adapters"}).encode()
    return _json(rest[:-1] + b',"adapters":{' + b",".join(written) + b"}}")


def short_reply(state: PodState) -> Response:
    """As it is: FastAPI would look through its adapters again."""
    return _json(state.model_dump_json().encode())


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
