"""A gateway at an address, with keys, a base and adapters, for clients that are processes of their own."""

import asyncio
import io
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image
from tests.clients.installed import node_modules, python_of
from tests.unit.gateway.fakes import FakePod, World
from tests.waiting import until

from lorapool_common.http.listening import bound_socket
from lorapool_common.http.server import Server

KEY: Final = "the-key"
CALLERS: Final = Path(__file__).parent / "callers"
_CLIENT_S: Final = 90


@dataclass(frozen=True)
class ServedGateway:
    """A gateway that serves, and the pod behind it."""

    url: str
    pod: FakePod
    home: Path

    async def called_by_python(self, caller: str, client: str) -> dict[str, Any]:
        """What `callers/<caller>` saw with that version of its client, by the name of each call."""
        return await self._called_by(caller, self.home, await asyncio.to_thread(python_of, client), "-")

    async def called_by_node(self, caller: str, client: str) -> dict[str, Any]:
        """The same in JavaScript, where packages are looked for in the folder that it runs in."""
        node = ("node", "--input-type=module", "-")
        return await self._called_by(caller, await asyncio.to_thread(node_modules), *node, package=client)

    async def _called_by(
        self, caller: str, folder: Path, *command: str | Path, package: str | None = None
    ) -> dict[str, Any]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONWARNINGS": "ignore"}
        given = (self.url, KEY, *([package] if package else []))
        with (CALLERS / caller).open("rb") as program:
            process = await asyncio.create_subprocess_exec(
                *command, *given, stdin=program, stdout=PIPE, stderr=PIPE, env=environment, cwd=folder
            )
        try:
            async with asyncio.timeout(_CLIENT_S):
                printed, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, errors.decode()[-3000:]
        seen: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return seen


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ServedGateway]:
    """Two adapters that are served, one that cannot be."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "one").write_text(KEY)
    home = tmp_path / "home"
    home.mkdir()
    world = World(keys=keys, max_body_bytes=1 << 20)
    world.pool()
    world.adapter("pixel", modelIds=["nerijs/pixel-art-xl"])
    world.adapter("ink")
    world.adapter("broken", ready={"status": "False", "reason": "UnsupportedFormat", "message": "keys of no layout"})
    pod = world.pod()
    listener = bound_socket("127.0.0.1", 0)
    server = Server(world.app, listener)
    running = asyncio.create_task(server.run_until_ended())
    await until(lambda: server.started, "the gateway listens")
    yield ServedGateway(f"http://127.0.0.1:{listener.getsockname()[1]}", pod, home)
    server.end(1)
    await running


def picture(colour: tuple[int, int, int], format_: str = "PNG") -> bytes:
    """A picture of one colour, as callers draw it."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, format_)
    return buffer.getvalue()
