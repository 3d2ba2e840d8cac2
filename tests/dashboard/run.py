"""An installation on the embedded plane, asked for images while pods come and go, and scraped all the while."""

import asyncio
import json
import random
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from lorapool_local import plane as planes
from lorapool_local.binaries import Binaries
from lorapool_local.config import NodeConfig, PlaneConfig
from tests import files, make
from tests.e2e.cluster import Cluster
from tests.e2e.embedded import CHART, NAMESPACE
from tests.e2e.images import pool_with_files

SCRAPE_S: Final = 2.0
ADAPTERS: Final = 24
POOL: Final = "sdxl"
PORTS: Final = {"lorapool-operator": 8080, "lorapool-gateway": 8081, "lorapool-runtime": 8080}
Series = tuple[tuple[str, str], ...]


@dataclass
class Scrapes:
    """Samples by series, as Prometheus would store them."""

    began_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    samples: dict[Series, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def ended_ms(self) -> int:
        return max(rows[-1][0] for rows in self.samples.values())

    def add(self, text: str, target: dict[str, str]) -> None:
        now_ms = int(time.time() * 1000)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = target | sample.labels | {"__name__": sample.name}
                self.samples[tuple(sorted(labels.items()))].append((now_ms, sample.value))

    def series(self) -> list[dict[str, Any]]:
        return [{"labels": dict(labels), "samples": rows} for labels, rows in self.samples.items()]


@contextmanager
def installation(binaries: Binaries, folder: Path) -> Iterator[Cluster]:
    config = PlaneConfig(node=NodeConfig(gpus=4))
    with planes.running(folder, binaries, config, purge=True) as plane:
        install = ["install", "lorapool", str(CHART), "--namespace", NAMESPACE, "--create-namespace", "--wait"]
        subprocess.run([plane.helm, "--kubeconfig", plane.kubeconfig, *install, "--timeout=180s"], check=True)
        cluster = Cluster(str(plane.kubectl), plane.kubeconfig, "", NAMESPACE)
        service = json.loads(cluster.run("get", "service", "lorapool-gateway", "-o", "json"))["spec"]
        yield Cluster(
            str(plane.kubectl), plane.kubeconfig, f"http://{service['clusterIP']}:{service['ports'][0]['port']}"
        )


async def run(binaries: Binaries, seconds: float) -> Scrapes:
    """What was scraped."""
    contents = {f"style-{i}.safetensors": files.lora_file(seed=i) for i in range(ADAPTERS)}
    with tempfile.TemporaryDirectory() as folder, installation(binaries, Path(folder) / "plane") as cluster:
        config, pool = pool_with_files(POOL, "default", contents)
        pool["spec"]["runtime"] |= {
            "resources": {"limits": {"nvidia.com/gpu": 1}},
            "stub": {"loadMilliseconds": 4000, "switchMilliseconds": 30, "stepMilliseconds": 60},
        }
        scrapes, stop = Scrapes(), asyncio.Event()
        cluster.apply(config, pool)
        tasks = [asyncio.create_task(_scrape(cluster, scrapes, stop))]
        tasks += [asyncio.create_task(_ask(cluster, i, stop)) for i in range(8)]
        await asyncio.to_thread(_story, cluster, seconds)
        stop.set()
        await asyncio.gather(*tasks)
    return scrapes


def _story(cluster: Cluster, seconds: float) -> None:
    """Adapters come in four parts, one of them cannot be had; then pods are added, and one is lost."""
    began = time.monotonic()
    for part in range(4):
        names = range(part * ADAPTERS // 4, (part + 1) * ADAPTERS // 4)
        cluster.apply(
            *(make.adapter_manifest(f"style-{i}", pool=POOL, path=f"/adapters/style-{i}.safetensors") for i in names)
        )
        _until(began + seconds * (part + 1) / 8)
    cluster.apply(make.adapter_manifest("missing", pool=POOL, path="/adapters/missing.safetensors"))
    cluster.run("scale", "bmp", POOL, "--replicas=3")
    _until(began + seconds * 0.75)
    pods = cluster.list("pods", f"lorapool.dev/pool={POOL}")
    cluster.run("delete", "pod", pods[0]["metadata"]["name"], "--wait=false")
    _until(began + seconds)


def _until(moment_s: float) -> None:
    threading.Event().wait(max(0.0, moment_s - time.monotonic()))


async def _scrape(cluster: Cluster, scrapes: Scrapes, stop: asyncio.Event) -> None:
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
        while not stop.is_set():
            found = await asyncio.to_thread(cluster.run, "get", "pods", "-A", "-o", "json")
            for pod in json.loads(found)["items"]:
                meta, address = pod["metadata"], pod["status"].get("podIP")
                app = (meta.get("labels") or {}).get("app.kubernetes.io/name", "")
                if app not in PORTS or not address:
                    continue
                pool = f"{meta['namespace']}/{meta['labels'].get('lorapool.dev/pool')}"
                target = {"pod": meta["name"], "namespace": meta["namespace"]} | (
                    {"pool": pool} if app == "lorapool-runtime" else {}
                )
                try:
                    scrapes.add((await client.get(f"http://{address}:{PORTS[app]}/metrics")).text, target)
                except httpx.HTTPError:
                    continue
            await _pause(stop, SCRAPE_S)


async def _ask(cluster: Cluster, number: int, stop: asyncio.Event) -> None:
    """One client: now and then an image, some adapters far more often than others."""
    chance = random.Random(number)  # noqa: S311 -- which picture is asked for
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        while not stop.is_set():
            style = min(int(chance.paretovariate(0.9)) - 1, ADAPTERS - 1)
            body = {
                "inputs": "a lighthouse",
                "parameters": {"seed": chance.randrange(1 << 30), "num_inference_steps": 4},
            }
            with suppress(httpx.HTTPError):
                await client.post(f"{cluster.gateway}/models/style-{style}", json=body)
            await _pause(stop, chance.expovariate(1.2))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
