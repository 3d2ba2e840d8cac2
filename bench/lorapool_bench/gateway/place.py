"""Where the bench of the gateway takes place: a pod and what stands before it, as processes, and an API server that
knows them.

All have addresses of the loopback network that nobody else has: a pod is reached at its serving port alone.
"""

import asyncio
import contextlib
import json
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from lorapool_api import names
from lorapool_bench.gateway.peers import LITELLM, find_nginx, start_litellm, start_nginx
from lorapool_bench.gateway.pod import POOL
from lorapool_bench.gateway.processes import ProcessTree, start, until_served

_WATCH_S: Final = 50.0
# What each of the ways asks for: the same image, in as many steps.
_PROMPT, _SEED, _SIDE = "a red star", 3, 64
PICTURE: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Endpoint:
    """Whom requests are sent to, and how they say what they want."""

    url: str
    dialect: str

    def body(self, steps: int) -> dict[str, Any]:
        """A request for an image in so many steps."""
        if self.dialect == "openai":
            return {"model": "bench", "prompt": _PROMPT, "user": str(steps)}
        if self.dialect == "hf":
            parameters = {"seed": _SEED, "num_inference_steps": steps, "width": _SIDE, "height": _SIDE}
            return {"inputs": _PROMPT, "parameters": parameters}
        side = {"width": _SIDE, "height": _SIDE}
        return {"prompt": _PROMPT, "seed": _SEED, "steps": steps, **side, "format": "jpeg"}

    def large(self, steps: int, size_bytes: int) -> tuple[str, bytes]:
        """Where to send a body of that size, and that body: a picture, or for who takes none many words."""
        if self.dialect == "hf":
            return f"{self.url}?num_inference_steps={steps}", PICTURE + bytes(size_bytes - len(PICTURE))
        field = "prompt" if self.dialect == "openai" else "image"
        said = self.body(steps) | {field: ""}
        text = json.dumps(said | {field: "A" * (size_bytes - len(json.dumps(said)))})
        return self.url, text.encode()


@dataclass(frozen=True)
class ReverseProxy:
    """A program before the pod, and the pod without it.

    Attributes:
        name: of the program.
        processes: its own.
        is_slow: it takes fewer requests than the others are asked for.
    """

    name: str
    straight: Endpoint
    through: Endpoint
    processes: ProcessTree
    is_slow: bool = False


@dataclass(frozen=True)
class ProxySetup:
    """A pod with programs before it.

    Attributes:
        proxies: the gateway first.
    """

    proxies: tuple[ReverseProxy, ...]


@asynccontextmanager
async def place(kind: str, *options: str, peers: bool = False) -> AsyncIterator[ProxySetup]:
    """A pod of that kind (see `pod`) behind a gateway, ready; all are ended at the end.

    Args:
        peers: whether nginx and LiteLLM's proxy stand before the same pod, where they are installed.
    """
    # Nobody else's: benches and tests on one machine do not meet.
    network = f"127.{random.randrange(64, 255)}.{random.randrange(1, 255)}"  # noqa: S311 -- no secret
    api, gateway, pod, nginx, litellm = (f"{network}.{host}" for host in range(1, 6))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await api_server(stack, api, _objects(pod))
        runtime = ("-m", "lorapool_bench.gateway.pod", kind, pod, "--cache", str(folder), *options)
        await start(stack, runtime, {}, log=folder / "pod.log")
        environment = {
            "KUBECONFIG": str(kubeconfig(folder, api)),
            "LORAPOOL_LISTEN": gateway,
            "LORAPOOL_LOG_LEVEL": "WARNING",
            "LORAPOOL_SPOOL_DIR": str(folder),
        }
        image = Endpoint(f"http://{pod}:{names.SERVING_PORT}/v1/generate", "pod")
        process = await start(stack, ("-m", "lorapool_common.cli", "gateway"), environment)
        through = Endpoint(f"http://{gateway}:{names.SERVING_PORT}/", "hf")
        ways = [ReverseProxy("the gateway", image, through, process)]
        if peers and (program := find_nginx()):
            process = await start_nginx(stack, program, folder, nginx, pod)
            through = Endpoint(f"http://{nginx}:{names.SERVING_PORT}/v1/generate", "pod")
            ways.append(ReverseProxy("nginx", image, through, process))
        if peers and LITELLM.exists():
            process = await start_litellm(stack, folder, litellm, pod)
            path = f":{names.SERVING_PORT}/v1/images/generations"
            straight, through = (Endpoint(f"http://{host}{path}", "openai") for host in (pod, litellm))
            ways.append(ReverseProxy("LiteLLM", straight, through, process, is_slow=True))
        for way in ways:
            await until_served(partial(asked, way.through))
        yield ProxySetup(tuple(ways))


async def asked(target: Endpoint, http: aiohttp.ClientSession) -> int:
    """The status of an answer to a request for one step."""
    async with http.post(target.url, json=target.body(1)) as answer:
        return answer.status


async def api_server(stack: AsyncExitStack, address: str, objects: dict[str, list[dict[str, Any]]]) -> None:
    """Serve these objects there, by their plural, as an API server where nothing changes, until the stack ends."""
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            # Nothing changes; as a real one it ends a watch now and then.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_S):
                    await over.wait()
            return web.Response()
        items = objects[request.path.rpartition("/")[2]]
        return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    stack.callback(over.set)
    await web.TCPSite(runner, address, names.SERVING_PORT).start()


def kubeconfig(folder: Path, address: str) -> Path:
    """Write a file by which a client finds the API server at that address."""
    cluster = {"name": "c", "cluster": {"server": f"http://{address}:{names.SERVING_PORT}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "none"}}
    path = folder / "kubeconfig"
    path.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}))
    return path


def _objects(address: str) -> dict[str, list[dict[str, Any]]]:
    """A pool and its pod, as the API server lists them."""
    namespace, name = names.split_full_name(POOL)
    serving = {"limits": {"steps": 1000}, "defaults": {"steps": 1, "width": 64, "height": 64}}
    spec = {
        "model": {"source": {"path": "/models/bench"}},
        "runtime": {"engine": "stub", "device": "cpu"},
        "serving": serving,
    }
    pool = {
        "apiVersion": names.API_VERSION,
        "kind": names.POOL_KIND,
        "metadata": {"name": name, "namespace": namespace, "uid": "pool", "generation": 1},
        "spec": spec,
    }
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{names.runtime_name(name)}-6d4cf56db6",
        "uid": "replicas",
        "controller": True,
    }
    labels = {names.POOL_LABEL: name, "pod-template-hash": "6d4cf56db6"}
    metadata = {"name": "pod", "namespace": namespace, "uid": "pod", "labels": labels, "ownerReferences": [owner]}
    pod = {"metadata": metadata, "status": {"phase": "Running", "podIP": address}}
    return {"pods": [pod], names.POOL_PLURAL: [pool], names.ADAPTER_PLURAL: []}
