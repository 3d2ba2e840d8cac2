"""Metrics APIs behind the API server's aggregator, as metrics-server, prometheus-adapter or KEDA would be."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from lorapool_common.kube.client import Kube
from lorapool_common.kube.resources import PODS, SERVICES
from lorapool_local.pki import load_or_create_authority

API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
Object = dict[str, Any]


class MetricsApi(Protocol):
    """One group of the API, in version v1beta1."""

    @property
    def group(self) -> str: ...

    @property
    def resource(self) -> Object:
        """What discovery says of the one resource there is."""

    async def answer(self, request: web.Request) -> Object:
        """The list for a path below the group's."""


class ExternalMetrics:
    """One figure for every metric that is asked for.

    Attributes:
        value: the figure.
        asked: metrics with their selectors.
    """

    group = "external.metrics.k8s.io"
    resource: Object = {"name": "externalmetrics", "kind": "ExternalMetricValueList"}

    def __init__(self) -> None:
        self.value = 0
        self.asked: set[tuple[str, str]] = set()

    async def answer(self, request: web.Request) -> Object:
        metric = request.match_info["what"]
        self.asked.add((metric, request.query.get("labelSelector", "")))
        item = {"metricName": metric, "metricLabels": {}, "timestamp": "2026-01-01T00:00:00Z", "value": str(self.value)}
        return {"kind": "ExternalMetricValueList", "items": [item]}


class PodCpu:
    """Pods that share a load: each uses its part of it.

    Attributes:
        milli: thousandths of a core, of all together.
    """

    group = "metrics.k8s.io"
    resource: Object = {"name": "pods", "kind": "PodMetrics"}

    def __init__(self, kube: Kube, container: str) -> None:
        self._kube = kube
        self._container = container
        self.milli = 0

    async def answer(self, request: web.Request) -> Object:
        selector = request.query.get("labelSelector", "")
        pods = await self._kube.list(PODS, request.match_info["namespace"], selector)
        names = [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        return {"kind": "PodMetricsList", "items": list(self._items(names))}

    def _items(self, names: Iterable[str]) -> Iterable[Object]:
        names = list(names)
        for name in names:
            usage = {"cpu": f"{self.milli // len(names)}m", "memory": "1Mi"}
            yield {
                "metadata": {"name": name},
                "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                "window": "1s",
                "containers": [{"name": self._container, "usage": usage}],
            }


@contextlib.asynccontextmanager
async def served(api: MetricsApi, kube: Kube, namespace: str, folder: Path) -> AsyncIterator[None]:
    """Registered for the length of the block: a group that nobody serves holds up the deletion of namespaces."""
    path = f"/apis/{api.group}/v1beta1"
    resource = api.resource | {"namespaced": True, "verbs": ["get", "list"]}

    async def discovery(_: web.Request) -> web.Response:
        listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{api.group}/v1beta1"}
        return web.json_response(listed | {"resources": [resource]})

    async def listed(request: web.Request) -> web.Response:
        head = {"apiVersion": f"{api.group}/v1beta1", "metadata": {}}
        return web.json_response(head | await api.answer(request))

    async def nothing(_: web.Request) -> web.Response:
        return web.json_response({}, status=404)

    app = web.Application()
    app.add_routes([web.get(path, discovery), web.get(path + "/namespaces/{namespace}/{what}", listed)])
    app.add_routes([web.get("/{rest:.*}", nothing)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_tls(folder)).start()
    port = runner.addresses[0][1]
    name = f"v1beta1.{api.group}"
    try:
        await kube.create(SERVICES, namespace, _service(port))
        await kube.request("POST", API_SERVICES, body=_api_service(name, api.group, namespace, port))
        yield
    finally:
        await kube.request("DELETE", f"{API_SERVICES}/{name}")
        await runner.cleanup()


def _tls(folder: Path) -> ssl.SSLContext:
    pair = load_or_create_authority(folder).issue("metrics", "metrics", addresses=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def _service(port: int) -> Object:
    """The aggregator takes the external name for the host: so it reaches the process of the test."""
    spec = {"type": "ExternalName", "externalName": "127.0.0.1", "ports": [{"port": port}]}
    return {"metadata": {"name": "metrics"}, "spec": spec}


def _api_service(name: str, group: str, namespace: str, port: int) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "version": "v1beta1",
            "service": {"name": "metrics", "namespace": namespace, "port": port},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
