"""A pod of the stub engine in this process, on free ports of a loopback address."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from tests import files
from tests.waiting import until

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device, EngineName, StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.sources.basic import PathFile
from lorapool_api.wire.state import AdapterPhase, AdapterState, PodState
from lorapool_common.http.server import Server
from lorapool_common.observe.tracing import Tracing
from lorapool_common.supervision import Supervisor
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.engine.choose import engine_loader
from lorapool_runtime.engine.contract import LoadEngine
from lorapool_runtime.process import MakeServer, running
from lorapool_runtime.settings import Settings

TOKEN = "secret-of-this-test"
DEADLINE_S = 60.0
# A base takes its time to load where others work too.
eventually = partial(until, deadline_s=DEADLINE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def config(root: Path, timings: StubTimings | None = None, **changes: Any) -> RuntimeConfig:
    plain: dict[str, Any] = {
        "pool": "default/shapes",
        "model": BaseModelSpec(source=ModelSource(path="/models/shapes-xl"), dtype=Dtype.FLOAT32),
        "engine": EngineName.STUB,
        "device": Device.CPU,
        "stub": timings or StubTimings(),
        "serving": Serving.model_validate({"defaults": {"width": 64, "height": 64, "steps": 2}}),
        "path_roots": (str(root),),
    }
    return RuntimeConfig(**plain | changes)


def settings(tmp_path: Path, config: RuntimeConfig, **changes: Any) -> Settings:
    token_dir = tmp_path / "control"
    token_dir.mkdir(exist_ok=True)
    (token_dir / "token").write_text(TOKEN)
    plain: dict[str, Any] = {
        "config": config,
        "pod_name": "shapes-0",
        "listen": "127.0.0.1",
        "serving_port": free_port(),
        "control_port": free_port(),
        "cache_dir": tmp_path / "cache",
        "control_token_dir": token_dir,
        "grace_seconds": 5.0,
    }
    return Settings(**plain | changes)


@dataclass
class Running:
    """A pod that serves, and clients of both ports."""

    runtime: Runtime
    serving: httpx.AsyncClient
    control: httpx.AsyncClient

    async def apply(self, *entries: CatalogEntry) -> PodState:
        reply = await self.control.put("/v1/catalog", json=Catalog.of(entries).model_dump(mode="json"))
        assert reply.status_code == 200, reply.text
        return PodState.model_validate(reply.json())

    async def state(self) -> PodState:
        return PodState.model_validate((await self.control.get("/v1/state")).raise_for_status().json())

    async def until(self, key: str, *phases: AdapterPhase) -> AdapterState:
        """Wait until the adapter has one of the phases, by default one of the last ones."""
        wanted = phases or (AdapterPhase.READY, AdapterPhase.FAILED)
        await eventually(lambda: self.runtime.state().adapters[key].phase in wanted)
        return self.runtime.state().adapters[key]

    async def until_all(self, keys: Collection[str], phase: AdapterPhase = AdapterPhase.READY) -> None:
        """Wait until all of these adapters have the phase; one look at a time, however many they are."""

        def have_it() -> bool:
            adapters = self.runtime.state().adapters
            return all(key in adapters and adapters[key].phase is phase for key in keys)

        await eventually(have_it)

    async def generate(self, **body: Any) -> httpx.Response:
        return await self.serving.post("/v1/generate", json={"prompt": "a circle", "seed": 1} | body)


@contextlib.asynccontextmanager
async def started(
    settings: Settings,
    load: LoadEngine | None = None,
    *,
    fails: bool = False,
    make_server: MakeServer = Server,
    tracing: Tracing | None = None,
) -> AsyncIterator[Running]:
    """The pod up, its base on the way. `fails`: a task of it ends unexpectedly, and no other may."""
    runtime = Runtime(settings, load or engine_loader(settings), time.monotonic(), tracing)
    runtime.restore_catalog()
    auth = {"authorization": f"Bearer {TOKEN}"}
    supervisor = Supervisor()
    async with (
        running(runtime, supervisor, make_server),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.serving_port}", timeout=30) as serving,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.control_port}", headers=auth, timeout=90) as control,
    ):
        yield Running(runtime, serving, control)
    assert (supervisor.failure is not None) is fails


def write_adapter(root: Path, name: str, **options: Any) -> Path:
    root.mkdir(exist_ok=True)
    path = root / f"{name}.safetensors"
    path.write_bytes(files.lora_file(**options))
    return path


def entry(path: Path, key: str | None = None, **fields: Any) -> CatalogEntry:
    plain: dict[str, Any] = {"key": key or f"default/{path.stem}", "generation": 1, "source": PathFile(path=str(path))}
    return CatalogEntry(**plain | fields)
