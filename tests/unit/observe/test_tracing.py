"""Traces: W3C's header is taken and passed on, stages follow each other, and nothing private is said."""

import asyncio
import subprocess
import sys

import pytest
from structlog.contextvars import bound_contextvars
from tests.unit.gateway.fakes import World
from tests.unit.gateway.pods.connections import http, pod_that, read_request
from tests.unit.gateway.serve.asked import trouble
from tests.unit.observe.spans import CALLER, TRACE, TRACEPARENT, Recorded, ids, traceparent

from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import GenerateRequest
from lorapool_common.observe.tracing import NO_TRACING, Role, in_turn
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import RequestRefused

IMPORTS = """
import sys
import lorapool_gateway.main, lorapool_runtime.app.runtime
from lorapool_common.observe.tracing import tracing_for
tracing_for("test", None)
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def test_a_request_is_one_trace_from_its_client_to_the_pod(recorded: Recorded) -> None:
    world = World(tracing=recorded.tracing)
    world.pool()
    world.adapter("pixel")
    pod = world.pod()
    async with world.client(traceparent=TRACEPARENT, authorization="Bearer sesame") as client:
        reply = await client.post("/models/pixel", json={"inputs": "my secret prompt"})
    assert reply.status_code == 200
    images = recorded.named("images")
    assert ids(images) == (TRACE, CALLER)
    assert [child.name for child in recorded.below(images)] == ["hold", "attempt"]
    attributes = dict(images.attributes or {})
    assert attributes["lorapool.request_id"] == reply.headers["x-request-id"]
    assert attributes["lorapool.adapters"] == ("default/pixel",)
    assert (attributes["lorapool.outcome"], attributes["lorapool.pool"]) == ("ok", "default/shapes")
    assert dict(recorded.named("attempt").attributes or {})["lorapool.pod"] == pod.name
    assert "secret" not in recorded.words()
    assert "sesame" not in recorded.words()


async def test_a_refused_request_and_a_failed_attempt_say_why(recorded: Recorded) -> None:
    world = World(tracing=recorded.tracing)
    world.pool()
    world.pod().troubles.append(trouble(ErrorCode.ADAPTER_NOT_READY))
    async with world.client() as client:
        assert (await client.post("/models/nobody", json={"inputs": "a"})).status_code == 404
        assert (await client.post("/", json={"inputs": "a"})).status_code == 200
    refused, served = (span for span in recorded.spans if span.name == "images")
    assert refused.status.description == "model_not_found"
    assert served.status.is_ok
    first, second = (span for span in recorded.spans if span.name == "attempt")
    assert (first.status.description, second.status.is_ok) == ("RequestRefused", True)


async def test_a_pod_hears_of_the_trace_and_of_the_request(recorded: Recorded) -> None:
    heads: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await read_request(reader)).decode().lower())
        writer.write(http(b"{}", "500 Internal Server Error"))

    async with pod_that(refuse) as pod, PodClient(tracing=recorded.tracing) as client:
        request = bound_contextvars(request_id="abc"), recorded.tracing.span("images", Role.SERVER)
        with request[0], request[1], pytest.raises(RequestRefused):
            await client.generate(pod, GenerateRequest(prompt="a"), 1000)
    assert f"traceparent: {traceparent(recorded.named('images'))[:-3]}" in heads[0]
    assert "x-request-id: abc" in heads[0]


def test_stages_follow_each_other() -> None:
    queue, steps = in_turn([("queue", 0.5), ("steps", 2.0)], ended_ns=10_000_000_000)
    assert (queue.began_ns, queue.ended_ns) == (7_500_000_000, 8_000_000_000)
    assert (steps.began_ns, steps.ended_ns) == (8_000_000_000, 10_000_000_000)


def test_without_an_endpoint_nothing_of_opentelemetry_is_even_imported() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
    assert NO_TRACING.headers() == {}
