"""What the API server says to who creates something in a namespace that is being deleted."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import SERVICES

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
