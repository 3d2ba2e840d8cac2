"""`lorapool runtime` on any machine: what is on its command line, and nothing else that it imports."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
from tests.runtime.pods import DEADLINE_S, free_port, write_adapter
from tests.runtime.process.processes import process, until_ready
from tests.waiting import until_read

from lorapool_api import names


async def test_without_kubernetes_manifests_and_files_are_served(tmp_path: Path) -> None:
    bare = write_adapter(tmp_path / "adapters", "toy", seed=1)
    other = write_adapter(tmp_path / "adapters", "other", seed=2)
    manifest = tmp_path / "pixel.yaml"
    manifest.write_text(
        f"apiVersion: {names.API_VERSION}\nkind: {names.ADAPTER_KIND}\nmetadata: {{name: pixel-art}}\n"
        f"spec: {{poolRef: {{name: shapes}}, source: {{path: {other}}}, scale: 0.5}}\n"
    )
    port = free_port()
    arguments = ("--engine", "stub", "--model", str(tmp_path), "--adapters", str(manifest), str(bare))
    places = ("--port", str(port), "--cache", str(tmp_path / "cache"))
    async with (
        process(*arguments, *places) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client,
    ):
        await until_ready(client)
        reply = await _until_made(client, {"prompt": "x", "adapters": [{"key": "toy"}, {"key": "pixel-art"}]})
        assert [(a["key"], a["scale"]) for a in reply.json()["adapters"]] == [
            ("local/toy", 1.0),
            ("local/pixel-art", 0.5),
        ]
        server.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            assert await server.wait() == 0


async def _until_made(client: httpx.AsyncClient, body: dict[str, object]) -> httpx.Response:
    """The first answer that is not 409: the files are still on their way at first."""

    async def ask() -> httpx.Response:
        return await client.post("/v1/generate", json=body)

    made = await until_read(ask, lambda reply: reply.status_code != 409, "the files are there", DEADLINE_S)
    return made.raise_for_status()


async def test_a_missing_configuration_is_said_in_a_sentence() -> None:
    async with process() as nothing:
        _, stderr = await nothing.communicate()
        assert nothing.returncode == 1
        assert b"give --model, or the configuration of a pod" in stderr


async def test_the_stub_path_never_imports_torch(tmp_path: Path) -> None:
    """In a process of its own: serve one request with everything loaded, then look at what was imported."""
    path = write_adapter(tmp_path / "adapters", "one")
    script = f"""
import asyncio, sys
from pathlib import Path
from tests.runtime.pods import config, entry, settings, started
import lorapool_runtime.main, lorapool_runtime.standalone

async def main():
    async with started(settings(Path({str(tmp_path)!r}), config(Path({str(path.parent)!r})))) as pod:
        await pod.apply(entry(Path({str(path)!r})))
        await pod.until("default/one")
        assert (await pod.generate(adapters=[{{"key": "one"}}])).status_code == 200

asyncio.run(main())
print(sorted({{"torch", "diffusers", "transformers", "peft", "kubernetes", "kopf"}} & sys.modules.keys()))
"""
    checked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=Path(__file__).parents[3], stdout=PIPE, stderr=PIPE
    )
    stdout, stderr = await checked.communicate()
    assert checked.returncode == 0, stderr.decode()
    assert stdout.decode().splitlines()[-1] == "[]"
