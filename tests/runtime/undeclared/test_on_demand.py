"""A pod that serves what nobody declared, from the small Hub, as a process of its own."""

import hashlib
from pathlib import Path

import httpx
from tests.runtime.pods import DEADLINE_S, TOKEN
from tests.runtime.process.processes import process, until_ready
from tests.runtime.process.test_process import pod_environment

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.pool import Undeclared
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.wire.catalog import Catalog
from lorapool_hub import app, server

WEIGHTS = Path(__file__).parents[3] / "models" / "weights"
HEART = WEIGHTS / "adapters" / "heart" / "pytorch_lora_weights.safetensors"
MODEL = BaseModelSpec.model_validate(
    {"source": {"path": "/models/shapes-xl"}, "dtype": "float32", "aliases": ["lorapool/shapes-xl"]}
)


async def ask(client: httpx.AsyncClient, repo: str) -> httpx.Response:
    body = {"prompt": "a heart", "seed": 1, "adapters": [{"key": f"hub:{repo}"}]}
    return await client.post("/v1/generate", json=body)


async def test_a_repository_is_served_on_demand_and_others_say_why_not(tmp_path: Path) -> None:
    hub = app.serving(WEIGHTS)
    with server.running(hub) as url:
        environment, serving, control = pod_environment(tmp_path, StubTimings(), model=MODEL, undeclared=Undeclared.HUB)
        environment |= {"HF_ENDPOINT": url, "HF_TOKEN": "hf_of_the_pool"}
        async with process(**environment), httpx.AsyncClient(base_url=serving, timeout=DEADLINE_S) as client:
            await until_ready(client, "/healthz")
            async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as operator:
                await operator.put(f"{control}/v1/catalog", json=Catalog.of(()).model_dump(mode="json"))
            await until_ready(client)

            for _ in range(2):
                reply = await ask(client, "lorapool/heart")
                assert reply.status_code == 200, reply.text
            used = reply.json()["adapters"][0]
            assert used["key"] == "hub:lorapool/heart"
            assert used["sha256"] == hashlib.sha256(HEART.read_bytes()).hexdigest()
            assert sum("/api/models/lorapool/heart" in asked for asked in hub.asked) == 1

            reasons = {repo: await ask(client, f"lorapool/{repo}") for repo in ("nothing", "no-lora", "shapes-xl")}
            found = {repo: (reply.status_code, reply.json()["reason"]) for repo, reply in reasons.items()}
            assert found == {
                "nothing": (422, "SourceNotFound"),
                "no-lora": (422, "NotALora"),
                "shapes-xl": (422, "NotALora"),
            }
