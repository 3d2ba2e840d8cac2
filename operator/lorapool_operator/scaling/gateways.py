"""The gateway pods of this installation, and what each says of demand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from pydantic import ValidationError

from lorapool_api.names import GATEWAY_HEALTH_PORT
from lorapool_api.wire.gateways.demand import GatewayDemand
from lorapool_common.http.bodies import TooLarge, read_at_most

ANSWER_S: Final = 2.0
_MAX_BYTES: Final = 4 << 20
# An installation with more has no use for this: each of them is asked once a second.
_MOST_GATEWAYS: Final = 256


class GatewaySilent(Exception):
    """A gateway did not answer, or not as agreed."""


@dataclass(frozen=True)
class GatewayPod:
    """A gateway that can be asked.

    Attributes:
        takes_requests: whether clients are led to it: then its silence hides requests. One that ends, or that its
            kubelet finds unfit, is asked all the same.
    """

    uid: str
    ip: str
    takes_requests: bool


class GatewayPods:
    """The gateways as a watch brings them."""

    def __init__(self) -> None:
        self._pods: dict[str, GatewayPod] = {}

    @property
    def pods(self) -> tuple[GatewayPod, ...]:
        """Those that have an address."""
        return tuple(self._pods.values())[:_MOST_GATEWAYS]

    def replace(self, objects: Sequence[Mapping[str, Any]]) -> None:
        self._pods = {pod.uid: pod for pod in _read(objects)}

    def put(self, manifest: Mapping[str, Any]) -> None:
        self.drop(manifest)
        self._pods |= {pod.uid: pod for pod in _read([manifest])}

    def drop(self, manifest: Mapping[str, Any]) -> None:
        self._pods.pop(manifest["metadata"]["uid"], None)


def _read(manifests: Iterable[Mapping[str, Any]]) -> Iterable[GatewayPod]:
    for manifest in manifests:
        meta, status = manifest["metadata"], manifest.get("status") or {}
        if status.get("phase") != "Running" or not status.get("podIP"):
            continue
        ready = any((c["type"], c["status"]) == ("Ready", "True") for c in status.get("conditions") or ())
        yield GatewayPod(meta["uid"], status["podIP"], ready and not meta.get("deletionTimestamp"))


class GatewayClient:
    """Calls to gateways. Never through a proxy: they are in the cluster."""

    def __init__(self, port: int = GATEWAY_HEALTH_PORT) -> None:
        self._port = port
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def demand(self, pod: GatewayPod) -> GatewayDemand:
        """What the gateway says, whole within 2 s. Raises: GatewaySilent."""
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        call = self._session().get(f"http://{host}:{self._port}/v1/demand", timeout=timeout, allow_redirects=False)
        try:
            async with call as answer:
                if answer.status != 200:
                    raise GatewaySilent(f"status {answer.status}")
                return GatewayDemand.model_validate_json(await read_at_most(answer.content.iter_any(), _MAX_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, TooLarge) as error:
            raise GatewaySilent(f"{type(error).__name__}: {error}") from error
        except ValidationError as error:
            raise GatewaySilent(f"an answer with {error.error_count()} errors") from error

    def _session(self) -> aiohttp.ClientSession:
        """Opened by the first call, which runs in the event loop that it belongs to."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                headers={"Accept-Encoding": "identity"}, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._opened
