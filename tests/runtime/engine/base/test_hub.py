"""What a pod says of a base model that the Hub does not give."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.operator_hub import FakeHub, Repo

ASK = """
import sys
from lorapool_api.kinds.sources import HubModel
from lorapool_runtime.engine.diffusers.base.hub import snapshot
from lorapool_runtime.errors import ModelError
for repo in sys.argv[1:]:
    try:
        snapshot(HubModel(repo=repo), ())
    except ModelError as error:
        print(error)
"""


async def said_of(*repos: str, hub: FakeHub, home: Path) -> list[str]:
    """In a process of its own: the libraries read the Hub's address when they are imported."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ASK,
        *repos,
        env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return out.decode().splitlines()


async def test_the_hubs_answer_is_told_and_not_what_diffusers_makes_of_it(tmp_path: Path) -> None:
    async with FakeHub() as hub:
        hub.repos["lorapool/gated"] = Repo({}, status=403, error_code="GatedRepo")
        missing, gated = await said_of("lorapool/nothere", "lorapool/gated", hub=hub, home=tmp_path)

    assert missing.startswith("lorapool/nothere at main is no repository of the Hub, or it is private and needs")
    assert gated.startswith("lorapool/gated is gated")
