"""A large request in the background lies on disk until it is answered, as any other does."""

import asyncio
import base64
from pathlib import Path

from tests.unit.gateway.fakes import World, encoded_image
from tests.waiting import until

from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.spool.body import MEMORY_BYTES
from lorapool_gateway.spool.disk import Disk

# What pods would open is not looked at here: a file of any length that begins as a picture does.
PICTURE = base64.b64encode(encoded_image(1, ImageFormat.PNG) + bytes(3 * MEMORY_BYTES)).decode()


async def test_its_picture_is_on_disk_while_it_runs_and_no_longer(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 64 << 20)
    world = World(disk=disk, max_body_bytes=16 << 20)
    world.pool()
    pod = world.pod(hold=asyncio.Event())
    said = {"url": "/v1/images/edits", "body": {"prompt": "a", "image": PICTURE, "seed": 5}}
    async with world.client() as client:
        begun = await client.post("/v1/jobs", json=said)
        assert begun.status_code == 202, begun.text
        id_ = begun.json()["id"]
        await until(lambda: bool(pod.received), "the pod has it")
        assert disk.size_bytes >= 3 * MEMORY_BYTES
        assert len(world.network.passed[0].image or "") < 100
        assert pod.hold is not None
        pod.hold.set()
        await client.get(f"/v1/jobs/{id_}/events")
        assert (await client.get(f"/v1/jobs/{id_}/result")).status_code == 200
    assert disk.size_bytes == 0
