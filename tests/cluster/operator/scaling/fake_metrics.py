"""An external metrics API behind the API server's aggregator, as prometheus-adapter or KEDA would be."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.cluster.operator.fakes import Admin

from lorapool_common.kube.resources import SERVICES
from lorapool_local.pki import load_or_create_authority

GROUP_PATH = "/apis/external.metrics.k8s.io/v1beta1"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = "v1beta1.external.metrics.k8s.io"


class ExternalMetrics:
    """One figure for every metric that is asked for.

    Attributes:
        value: the figure.
        asked: metrics with their selectors.
    """

    def __init__(self) -> None:
        self.value = 0
        self.asked: set[tuple[str, str]] = set()

    @contextlib.asynccontextmanager
    async def served(self, kube: Admin, namespace: str, folder: Path) -> AsyncIterator[None]:
        """Registered for the length of the block: a group that nobody serves holds up the deletion of namespaces."""
        app = web.Application()
        app.add_routes(
            [
                web.get(GROUP_PATH, self._discovery),
                web.get(GROUP_PATH + "/namespaces/{namespace}/{metric}", self._metric),
                web.get("/{rest:.*}", self._nothing),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_tls(folder)).start()
        port = runner.addresses[0][1]
        try:
            await kube.create(SERVICES, namespace, _service(port))
            await kube.request("POST", API_SERVICES, body=_api_service(namespace, port))
            yield
        finally:
            await kube.request("DELETE", f"{API_SERVICES}/{NAME}")
            await runner.cleanup()

    async def _discovery(self, _: web.Request) -> web.Response:
        resource = {"name": "externalmetrics", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
        group = GROUP_PATH.removeprefix("/apis/")
        listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [resource]}
        return web.json_response(listed)

    async def _metric(self, request: web.Request) -> web.Response:
        metric = request.match_info["metric"]
        self.asked.add((metric, request.query.get("labelSelector", "")))
        item = {"metricName": metric, "metricLabels": {}, "timestamp": "2026-01-01T00:00:00Z", "value": str(self.value)}
        body = {"kind": "ExternalMetricValueList", "apiVersion": GROUP_PATH.removeprefix("/apis/"), "metadata": {}}
        return web.json_response(body | {"items": [item]})

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.json_response({}, status=404)


def _tls(folder: Path) -> ssl.SSLContext:
    pair = load_or_create_authority(folder).issue("metrics", "metrics", addresses=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def _service(port: int) -> dict[str, Any]:
    """The aggregator takes the external name for the host: so it reaches the process of the test."""
    spec = {"type": "ExternalName", "externalName": "127.0.0.1", "ports": [{"port": port}]}
    return {"metadata": {"name": "metrics"}, "spec": spec}


def _api_service(namespace: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": NAME},
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": "metrics", "namespace": namespace, "port": port},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
