"""A namespace that a test plays in: objects in, waiting for what becomes of them."""

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.waiting import until_read

from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.kubeconfig import read_kubeconfig
from lorapool_common.kube.resources import NAMESPACES
from lorapool_local.plane import Plane

Object = dict[str, Any]
Condition = Callable[[Object], Any]


async def admin(plane: Plane) -> Kube:
    """The admin's client, by what the kubeconfig says."""
    return Kube(await read_kubeconfig(plane.kubeconfig))


class Namespace:
    def __init__(self, kube: Kube, name: str) -> None:
        self.kube = kube
        self.name = name

    @classmethod
    @contextlib.asynccontextmanager
    async def created(cls, plane: Plane) -> AsyncIterator["Namespace"]:
        kube, name = await admin(plane), f"test-{uuid.uuid4().hex[:8]}"
        namespace = cls(kube, name)
        await kube.create(NAMESPACES, None, {"metadata": {"name": name}})
        try:
            # Pods are refused until the controller manager has made it.
            await namespace.wait("serviceaccounts/default", lambda _: True)
            yield namespace
        finally:
            await kube.delete(NAMESPACES, None, name)
            await kube.close()

    def path(self, what: str, api: str = "/api/v1") -> str:
        return f"{api}/namespaces/{self.name}/{what}"

    async def create(self, what: str, body: Object, api: str = "/api/v1") -> Object:
        return await self.kube.request("POST", self.path(what, api), body=body)

    async def run(self, name: str, script: str, **spec: Any) -> Object:
        """A pod with one container, which runs a Python script; fields of the container go by `container`."""
        container = {"name": "main", "image": "test/python", "args": [script], **spec.pop("container", {})}
        body = {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}
        return await self.create("pods", body)

    async def wait(self, what: str, condition: Condition, timeout_s: float = 15.0) -> Object:
        """Until the object is there and the condition holds."""
        found = await until_read(lambda: self._get(what), lambda o: o is not None and condition(o), what, timeout_s)
        assert found is not None
        return found

    async def wait_gone(self, what: str, timeout_s: float = 15.0) -> float:
        """Seconds until the object was not there any more."""
        began = time.monotonic()
        await until_read(lambda: self._is_gone(what), bool, f"{what} is gone", timeout_s)
        return time.monotonic() - began

    async def _get(self, what: str) -> Object | None:
        with contextlib.suppress(ApiError):
            return await self.kube.request("GET", self.path(what))
        return None

    async def _is_gone(self, what: str) -> bool:
        try:
            await self.kube.request("GET", self.path(what))
        except ApiError as error:
            return error.is_gone
        return False

    async def ended(self, pod: str, timeout_s: float = 15.0) -> Object:
        """The one container's state when it has ended for good."""
        found = await self.wait(f"pods/{pod}", lambda p: p["status"]["phase"] in ("Succeeded", "Failed"), timeout_s)
        state: Object = found["status"]["containerStatuses"][0]["state"]["terminated"]
        return state

    async def wait_for_log(self, pod: str, text: str) -> None:
        """Until the pod's one container has written just this."""

        async def look() -> str:
            with contextlib.suppress(ApiError):
                return await self.log(pod)
            return ""

        await until_read(look, lambda found: found == text, f"the log of {pod}", 15.0)

    async def log(self, pod: str, **query: str) -> str:
        return await self.kube.text(self.path(f"pods/{pod}/log"), query)


def container_status(pod: Object) -> Object:
    """Of the pod's one container; empty while the node has said nothing."""
    statuses: list[Object] = pod["status"].get("containerStatuses", [])
    return statuses[0] if statuses else {}


def is_ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
