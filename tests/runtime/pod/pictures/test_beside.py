"""Pictures that come as they are, beside the request that they belong to."""

import base64
import json
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image
from tests.runtime.pods import config, eventually, settings, started

from lorapool_api.wire.gateways import pictures
from lorapool_api.wire.request import MAX_PICTURE_BYTES


async def test_pictures_beside_a_request_are_as_good_as_those_in_it(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        buffer = BytesIO()
        Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
        sent = buffer.getvalue()
        within = await pod.generate(image=base64.b64encode(sent).decode())

        async def beside(text: str, picture: bytes = sent) -> httpx.Response:
            said = {"prompt": "a circle", "seed": 1, "image": text}
            body = pictures.head(json.dumps(said).encode(), [len(picture)]) + picture
            return await pod.serving.post("/v1/generate", content=body, headers={"content-type": pictures.MEDIA_TYPE})

        assert (await pod.serving.get("/v1/status")).json()["reads_pictures"]
        answer = await beside(pictures.reference(0))
        assert answer.status_code == within.status_code == 200, answer.text
        assert answer.json()["images"] == within.json()["images"] != (await pod.generate()).json()["images"]
        for refused, says in (
            (await beside(pictures.reference(1)), "no such picture"),
            (await beside(pictures.reference(0), b"nothing"), "no picture"),
            (await beside(pictures.reference(0), bytes(MAX_PICTURE_BYTES + 1)), "has more than"),
            (await pod.generate(image=pictures.reference(0)), "no such picture"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (400, "InvalidRequest")
            assert says in refused.json()["message"]
