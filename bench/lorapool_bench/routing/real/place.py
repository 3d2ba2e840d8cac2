"""Where the traces are played: pods in some processes, two gateways, and an API server that knows them."""

import asyncio
import random
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import numpy as np
from safetensors.numpy import save_file

from lorapool_api import names
from lorapool_api.wire.state import ServingCosts, ServingStatus, Tier
from lorapool_bench.gateway.place import api_server, kubeconfig
from lorapool_bench.gateway.processes import ProcessTree, start, until_served
from lorapool_bench.routing.choices import LORAPOOL
from lorapool_bench.routing.costs import EngineSeconds
from lorapool_bench.routing.real.pods import adapter_file
from lorapool_bench.routing.simulation import GATEWAYS, POOL, on_disks
from lorapool_bench.routing.trace import keys

_PROCESSES: Final = 2
_MODULE: Final = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
_AGE: Final = re.compile(r'lorapool_gateway_status_age_seconds_bucket\{le="([^"]+)",[^}]*\} (\S+)')
_APPLIED: Final = "unmerged"
SIDE: Final = 64
# Steps of 2^20 pixels of a request.
_MEGAPIXELS: Final = SIDE * SIDE / (1 << 20)


@dataclass(frozen=True)
class RealPool:
    """Gateways, pods and their processes.

    Attributes:
        gateways, pods: addresses.
    """

    gateways: Sequence[str]
    pods: Sequence[str]
    of_gateways: Sequence[ProcessTree]
    of_pods: Sequence[ProcessTree]
    http: aiohttp.ClientSession

    @property
    def cpu_s(self) -> tuple[float, float]:
        """Of the gateways, and of the pods, so far."""
        gateways, pods = (sum(process.cpu_s for process in group) for group in (self.of_gateways, self.of_pods))
        return gateways, pods

    async def status(self, pod: str) -> ServingStatus:
        """What the pod says of itself."""
        async with self.http.get(f"http://{pod}:{names.SERVING_PORT}/v1/status") as answer:
            return ServingStatus.model_validate_json(await answer.read())

    async def costs(self, steps: int) -> EngineSeconds:
        """What the pods have measured, of requests in so many steps: medians over the pods."""
        known = [status.costs for pod in self.pods if (status := await self.status(pod)).costs is not None]
        costs = [one for one in known if one is not None and _APPLIED in one.step_s]
        inference_s = median(one.step_s[_APPLIED] * steps * _MEGAPIXELS + (one.image_s or 0.0) for one in costs)
        load_s = {tier: _load_s(costs, tier) for tier in (Tier.HOST, Tier.DISK, Tier.REMOTE)}
        # A pod tells of the fetch alone: what was fetched is read from the disk then.
        load_s[Tier.REMOTE] += load_s[Tier.DISK]
        switch_s = median(one.switch_s[_APPLIED] for one in costs if _APPLIED in one.switch_s)
        return EngineSeconds(switch_s, {Tier.DEVICE: 0.0, **load_s}, inference_s)

    async def ages(self) -> dict[float, int]:
        """Requests that were sent by a status no older than so many seconds, of all gateways."""
        found: dict[float, int] = {}
        for gateway in self.gateways:
            async with self.http.get(f"http://{gateway}:{names.GATEWAY_HEALTH_PORT}/metrics") as answer:
                for at_most, count in _AGE.findall(await answer.text()):
                    found[float(at_most)] = found.get(float(at_most), 0) + int(float(count))
        return found


def _load_s(costs: Sequence[ServingCosts], tier: Tier) -> float:
    """Nothing where no pod has measured it."""
    known = [one.load_s[tier] for one in costs if tier in one.load_s]
    return median(known) if known else 0.0


@asynccontextmanager
async def pool(way: str, pods: int, speed: float) -> AsyncIterator[RealPool]:
    """So many pods behind gateways that choose in that way, ready; all are ended at the end."""
    # Nobody else's: benches and tests on one machine do not meet.
    network = f"127.{random.randrange(64, 255)}.{random.randrange(1, 255)}"  # noqa: S311 -- no secret
    api, *gateways = (f"{network}.{host}" for host in range(1, GATEWAYS + 2))
    addresses = {name: f"{network}.{100 + number}" for number, name in enumerate(on_disks(pods))}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write_adapters(folder)
        await api_server(stack, api, objects(addresses))
        shares = [
            [f"{name}={address}" for name, address in addresses.items()][n::_PROCESSES] for n in range(_PROCESSES)
        ]
        program = ("-m", "lorapool_bench.routing.real.pods", str(folder), str(speed), str(pods))
        of_pods = [await start(stack, (*program, *share), {}) for share in shares if share]
        timeout = aiohttp.ClientTimeout(total=120.0)
        http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        await stack.enter_async_context(http)
        for address in addresses.values():
            await until_served(partial(_ready, address, names.SERVING_PORT))
        command = (
            ("lorapool_common.cli", "gateway") if way == LORAPOOL else ("lorapool_bench.routing.real.gateway", way)
        )
        environment = {"KUBECONFIG": str(kubeconfig(folder, api)), "LORAPOOL_LOG_LEVEL": "ERROR"}
        of_gateways = [
            await start(stack, ("-m", *command), environment | {"LORAPOOL_LISTEN": address}) for address in gateways
        ]
        for address in gateways:
            await until_served(partial(_ready, address, names.GATEWAY_HEALTH_PORT))
        made = RealPool(gateways, tuple(addresses.values()), of_gateways, of_pods, http)
        await _until_held(made, addresses)
        yield made


async def _ready(address: str, port: int, http: aiohttp.ClientSession) -> int:
    async with http.get(f"http://{address}:{port}/readyz") as answer:
        return answer.status


async def _until_held(made: RealPool, addresses: dict[str, str]) -> None:
    """Return when each pod has the files that it is to have before anybody asks."""
    held = on_disks(len(addresses))
    async with asyncio.timeout(60.0):
        for name, address in addresses.items():
            while not held[name] <= (await made.status(address)).tiers.keys():  # noqa: ASYNC110 -- another process announces nothing
                await asyncio.sleep(0.1)


def _write_adapters(folder: Path) -> None:
    """Files of different bytes: the same ones would be the same adapter to the engine."""
    weights = np.ones((4, 4), dtype=np.float32)
    for number, key in enumerate(keys()):
        pair = {f"{_MODULE}.lora_A.weight": weights, f"{_MODULE}.lora_B.weight": weights * number}
        save_file(pair, adapter_file(folder, key))


def objects(pods: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The pool, its pods by name and address, and its adapters, as the API server lists them."""
    namespace, name = names.split_full_name(POOL)
    metadata = {"namespace": namespace, "generation": 1}
    spec = {"model": {"source": {"path": "/models/bench"}}, "runtime": {"engine": "stub", "device": "cpu"}}
    pool_ = {
        "apiVersion": names.API_VERSION,
        "kind": names.POOL_KIND,
        "metadata": metadata | {"name": name, "uid": "pool"},
        "spec": spec,
    }
    ready = {"type": "Ready", "status": "True", "reason": "Served", "message": "", "observedGeneration": 1}
    adapters = [
        {
            "apiVersion": names.API_VERSION,
            "kind": names.ADAPTER_KIND,
            "metadata": metadata | {"name": own, "uid": own},
            "spec": {"poolRef": {"name": name}, "source": {"path": f"/adapters/{own}.safetensors"}},
            "status": {"conditions": [ready]},
        }
        for own in (names.split_full_name(key)[1] for key in keys())
    ]
    return {
        "pods": [_pod(namespace, name, own, address) for own, address in pods.items()],
        names.POOL_PLURAL: [pool_],
        names.ADAPTER_PLURAL: adapters,
    }


def _pod(namespace: str, pool_name: str, name: str, address: str) -> dict[str, Any]:
    replicas = f"{names.runtime_name(pool_name)}-6d4cf56db6"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replicas, "uid": "replicas", "controller": True}
    labels = {names.POOL_LABEL: pool_name, "pod-template-hash": "6d4cf56db6"}
    metadata = {"name": name, "namespace": namespace, "uid": name, "labels": labels, "ownerReferences": [owner]}
    return {"metadata": metadata, "status": {"phase": "Running", "podIP": address}}
