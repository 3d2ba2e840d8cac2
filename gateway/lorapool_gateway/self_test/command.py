"""`lorapool self-test`, which `helm test` runs in a pod of the installation."""

import asyncio
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from lorapool_common import logs
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import AccessError, ApiError
from lorapool_common.process import CannotStart, Process
from lorapool_common.process import run as run_process
from lorapool_gateway.callers.entry import EntryUnusable, parse_entry
from lorapool_gateway.self_test.objects import SelfTestObjects
from lorapool_gateway.self_test.run import SelfTestFailed, self_test


def command(
    namespace: Annotated[str, typer.Option(help="Where the pool and its adapter are made, and removed again.")],
    service: Annotated[str, typer.Option(help="The gateway's Service, in the namespace of this pod.")],
    tls: Annotated[
        bool, typer.Option(help="The gateway speaks TLS; whose its certificate is does not matter.")
    ] = False,
    api_keys: Annotated[
        Path | None, typer.Option(help="Folder with the API keys: the first that is for all models.")
    ] = None,
    placement: Annotated[str, typer.Option(help="JSON that goes into the spec of the pool's pod.")] = "{}",
    within: Annotated[float, typer.Option(help="Seconds until the image must be there.", min=1)] = 180.0,
) -> None:
    """Apply a pool of the stub engine and an adapter, have the gateway make an image with it, remove both."""
    logs.configure("INFO")
    objects = SelfTestObjects(f"self-test-{secrets.token_hex(3)}", namespace, json.loads(placement))
    client = httpx.AsyncClient(
        base_url=f"{'https' if tls else 'http'}://{service_address(service, os.environ)}",
        headers=authorization(api_keys),
        verify=False,  # noqa: S501 -- asked by its address; what is tested is that an image comes
        trust_env=False,
    )

    async def main(process: Process) -> None:
        test = asyncio.create_task(_run(client, objects, within))
        stopped = asyncio.create_task(process.stopped())
        await asyncio.wait({test, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (test, stopped):
            task.cancel()  # a test that is told to end removes what it made
        await asyncio.wait({test, stopped})
        if test.cancelled():
            raise CannotStart("told to end before the image was there")
        test.result()

    run_process("lorapool self-test", main)


async def _run(gateway: httpx.AsyncClient, objects: SelfTestObjects, within_s: float) -> None:
    try:
        async with gateway, await Kube.connect("lorapool-self-test") as kube:
            await self_test(kube, gateway, objects, within_s)
    except (AccessError, ApiError, SelfTestFailed) as error:
        raise CannotStart(str(error)) from error


def service_address(service: str, environment: Mapping[str, str]) -> str:
    """Host and port of a Service, from the variables that Kubernetes gives a pod; a cluster may have no DNS.

    Raises:
        BadParameter: there was no such Service when the pod started.
    """
    prefix = service.upper().replace("-", "_")
    host, port = (environment.get(f"{prefix}_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        raise typer.BadParameter(f"Kubernetes names no Service {service}: there is no {prefix}_SERVICE_HOST")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def authorization(folder: Path | None) -> dict[str, Any]:
    """The headers of requests, by the first key that is for all models."""
    files = [] if folder is None else [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    key = next((key for file in files if (key := _key_for_all(file.read_text())) is not None), None)
    return {} if key is None else {"authorization": f"Bearer {key}"}


def _key_for_all(text: str) -> str | None:
    """The key that an entry holds, where it is for every model."""
    try:
        entry = parse_entry(text)
    except EntryUnusable:
        return None
    return None if entry is None or entry.scope.is_bounded else entry.key
