"""What the files of a pod's pictures say of how they were made."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from tests import files
from tests.runtime.pods import Running, config, entry, settings, started, write_adapter

from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.reply import ErrorReply, GenerateReply
from lorapool_api.wire.state import AdapterPhase

ASKED: dict[str, Any] = {"prompt": "a (red) circle", "negative_prompt": "blue", "seed": 8, "images": 2}


@asynccontextmanager
async def pod(folder: Path, recipe: str | None = None) -> AsyncIterator[Running]:
    """A warm pod with the adapter `one`."""
    provenance = {} if recipe is None else {"provenance": {"recipe": recipe}}
    serving = Serving.model_validate({"defaults": {"width": 64, "height": 64, "steps": 3}, **provenance})
    path = write_adapter(folder / "adapters", "one", seed=1)
    async with started(settings(folder, config(folder / "adapters", serving=serving))) as running:
        await running.apply(entry(path))
        assert (await running.until("default/one")).phase is AdapterPhase.READY
        yield running


async def made(running: Running, **asked: Any) -> GenerateReply:
    return GenerateReply.model_validate((await running.generate(**ASKED | asked)).raise_for_status().json())


def texts(reply: GenerateReply) -> list[str | None]:
    opened = (Image.open(BytesIO(base64.b64decode(image.data))) for image in reply.images)
    return [picture.info.get("parameters") for picture in opened]


async def test_who_asks_for_it_gets_the_recipe_with_what_the_pool_filled_in(tmp_path: Path) -> None:
    async with pod(tmp_path) as running:
        reply = await made(running, metadata=True, adapters=[{"key": "default/one", "scale": 0.5}])
        first, second = texts(reply)
        digest = files.sha256((tmp_path / "adapters" / "one.safetensors").read_bytes())
        assert first is not None
        assert first.startswith("a (red) circle <lora:default/one:0.5>\nNegative prompt: blue\nSteps: 3, ")
        for part in ("Seed: 8,", "Size: 64x64", "Emphasis: None", f'Lora hashes: "default/one: {digest[:10]}"'):
            assert part in first
        assert second == first.replace("Seed: 8,", "Seed: 9,")
        assert [image.recipe for image in reply.images] == [first, second]

        by_step = {"steps": [[0, 0.5], [0.5, 1]], "text_encoder": 0.25}
        (weighed, _) = texts(await made(running, metadata=True, adapters=[{"key": "default/one", "scale": by_step}]))
        assert weighed is not None
        assert weighed.startswith("a (red) circle <lora:default/one:0.5>\n")
        assert 'Lora weights: "default/one: 0->0.5,0.5->1 te=0.25"' in weighed

        plain = await made(running)
        assert texts(plain) == [None, None]
        assert [image.recipe for image in plain.images] == [None, None]

        bitmap = await made(running, metadata=True, format="bmp")
        assert [warning for warning in bitmap.warnings if "recipe" in warning] == [
            "bmp has no room for the recipe: ask for png"
        ]


async def test_a_pool_writes_it_unless_the_request_says_no(tmp_path: Path) -> None:
    async with pod(tmp_path, "Write") as running:
        assert None not in texts(await made(running))
        assert texts(await made(running, metadata=False)) == [None, None]


async def test_a_pool_that_refuses_it_makes_no_picture(tmp_path: Path) -> None:
    async with pod(tmp_path, "Refuse") as running:
        refused = await running.generate(**ASKED, metadata=True)
        assert (refused.status_code, ErrorReply.model_validate(refused.json()).code) == (400, "InvalidRequest")
        assert texts(await made(running)) == [None, None]
