"""A user does whatever comes to mind while parts are killed: what must hold holds at every moment, and at the end."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.faults.forks import Forks
from tests.cluster.operator.faults.scene import NAME, scene
from tests.cluster.operator.faults.user.actions import RandomUser
from tests.cluster.operator.faults.user.model import Model
from tests.cluster.operator.faults.user.prober import Prober
from tests.cluster.operator.faults.user.world import world
from tests.files import lora_file, sha256, whole_model_file
from tests.operator_hub import Repo

pytestmark = pytest.mark.plane

ACTIONS = int(os.environ.get("LORAPOOL_CHAOS_ACTIONS", "40"))
# After so many the user looks whether all is as it shall be.
AT_ONCE = 20
SEEDS = [int(seed) for seed in os.environ.get("LORAPOOL_CHAOS_SEEDS", "1").split(",")]
FILES = {name: lora_file(seed=number) for number, name in enumerate(("one", "two", "three", "four"))}


@pytest.mark.timeout(400 + 5 * ACTIONS)
@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_a_user_does_what_is_served_is_what_was_asked_for(
    plane: Any, tmp_path: Path, forks: Forks, seed: int
) -> None:
    folder = tmp_path / "pods"
    folder.mkdir()
    model = Model({name: sha256(content) for name, content in FILES.items()})
    async with scene(plane, tmp_path, forks, fake_pods=False) as place:
        place.hub.plain |= {f"{name}.safetensors": content for name, content in FILES.items()}
        for number, (name, content) in enumerate(FILES.items(), 1):
            place.hub.repos[f"user/{name}"] = Repo({NAME: content}, commit=f"{number:x}" * 40)
        place.hub.plain["model.safetensors"] = whole_model_file()
        async with world(place, model, folder) as it, Prober(it).running() as prober:
            user = RandomUser(it, seed)
            try:
                for number in range(1, ACTIONS + 1):
                    await asyncio.sleep(await user.act())
                    if number % AT_ONCE == 0 or number == ACTIONS:
                        await it.is_as_specified()
                        await prober.serves_what_is_expected()
            finally:
                print(f"seed {seed}:", *user.log, f"{prober.images} images, {prober.statuses} statuses", sep="\n")
            assert prober.wrong == []
            assert prober.images
