"""Events are lost without harm."""

import asyncio
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs
from tests.unit.operator import make as made

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import SERVICES
from lorapool_operator.cluster.events import Recorder
from lorapool_operator.decide.events import EventDraft

REFUSAL = {
    "kind": "Status",
    "code": 403,
    "reason": "Forbidden",
    "message": "unable to create new content in namespace default because it is being terminated",
    "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace default is being terminated"}]},
}


async def refusal() -> ApiError:
    """What creating anything in a namespace that goes comes to."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response(REFUSAL, status=403)

    app = web.Application()
    app.router.add_post("/{path:.*}", refuse)
    async with TestServer(app) as server, Kube(ClusterAccess(str(server.make_url("")).rstrip("/"))) as kube:
        with pytest.raises(ApiError) as raised:
            await kube.create(SERVICES, "default", {})
    return raised.value


async def test_an_event_that_is_refused_there_is_no_warning() -> None:
    error, tried = await refusal(), asyncio.Event()

    class Refusing:
        async def create(self, *_: object) -> None:
            tried.set()
            raise error

    recorder = Recorder(cast(Kube, Refusing()), "one")
    recorder.record(EventDraft(made.pool(), "Available", "it is up", is_warning=False))
    with capture_logs() as logs:
        running = asyncio.create_task(recorder.run())
        await asyncio.wait_for(tried.wait(), 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == []
