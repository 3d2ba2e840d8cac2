"""A pod's answer as it comes: steps, then the reply."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.pods.connections import MEGABYTE, REQUEST, all_there, pod_that, read_request, reply

from lorapool_api.wire.reply import ErrorCode, ErrorReply, StepReport
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import InvalidReply, RequestRefused
from lorapool_gateway.pods.events import InvalidEvents, done_of


def event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


STEPS = [StepReport(number=i, of=2, preview="abcd" if i == 1 else None) for i in (1, 2)]
WHOLE = b"".join([*(event("step", s.model_dump_json()) for s in STEPS), b": waiting\n\n", event("done", '{"a":1}')])


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@given(st.integers(1, len(WHOLE)))
@settings(max_examples=60, deadline=None)
def test_events_are_read_however_they_are_cut(size: int) -> None:
    seen: list[StepReport] = []
    assert asyncio.run(done_of(pieces(WHOLE, size), 1 << 20, seen.append)) == b'{"a":1}'
    assert seen == STEPS


@pytest.mark.parametrize("data", [b"", WHOLE[:-40], event("step", "{}"), event("error", "no json"), b"x" * 2000])
async def test_what_are_no_events_is_said(data: bytes) -> None:
    with pytest.raises(InvalidEvents):
        await done_of(pieces(data, 7), 1000, lambda _: None)


async def answered(client: PodClient, body: bytes, steps: list[StepReport]) -> bytes:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"accept: text/event-stream" in (await read_request(reader)).lower()
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async with pod_that(talk) as pod:
        _, (image,) = all_there(await client.generate(pod, REQUEST, MEGABYTE, steps.append))
        return await image.raw()


async def test_a_pod_tells_its_steps_and_then_the_image(client: PodClient) -> None:
    steps: list[StepReport] = []
    body = event("step", STEPS[0].model_dump_json()) + event("done", reply(b"one").model_dump_json())
    assert await answered(client, body, steps) == b"one"
    assert steps == STEPS[:1]


async def test_a_pod_that_gives_up_amid_its_steps_is_a_refusal(client: PodClient) -> None:
    error = ErrorReply(code=ErrorCode.ADAPTER_FAILED, message="NaN")
    with pytest.raises(RequestRefused) as refused:
        await answered(client, event("error", error.model_dump_json()), [])
    assert refused.value.reply == error


@pytest.mark.parametrize("body", [event("done", "{}"), event("step", STEPS[0].model_dump_json()), b": x\n\n" * 400_000])
async def test_a_pod_that_answers_nonsense_is_an_invalid_reply(client: PodClient, body: bytes) -> None:
    with pytest.raises(InvalidReply):
        await answered(client, body, [])
