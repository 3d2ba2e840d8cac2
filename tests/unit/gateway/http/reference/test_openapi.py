"""The page in OpenAPI is valid, and what is answered is what it says."""

import asyncio
import base64
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are not among our dependencies
from openapi_spec_validator import validate
from tests.unit.gateway.fakes import World, encoded_image

from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.http.reference.document import document
from lorapool_gateway.provenance.reader import PictureReader

PICTURE = base64.b64encode(encoded_image(3, ImageFormat.PNG)).decode()
PROMPT = {"prompt": "a cat", "seed": 7}
# What is sent to each path that makes images.
BODIES: dict[str, Any] = {
    "/": {"inputs": "a cat"},
    "/models/{model}": {"inputs": "a cat"},
    "/hf-inference/models/{model}": {"inputs": "a cat"},
    "/v1/images/generations": PROMPT,
    "/v1/images/edits": PROMPT | {"image": PICTURE},
    "/v1/images/variations": {"image": PICTURE},
    "/sdapi/v1/txt2img": PROMPT,
    "/sdapi/v1/img2img": PROMPT | {"init_images": [PICTURE]},
    "/sdapi/v1/options": {},
    "/sdapi/v1/png-info": {"image": PICTURE},
    "/v1/jobs": {"url": "/v1/images/generations", "body": PROMPT},
}
# What is no JSON.
FILES: dict[str, Any] = {"/v1/verify": {"content": base64.b64decode(PICTURE), "headers": {"content-type": "image/png"}}}


def world(**settings: Any) -> World:
    made = World(**settings)
    made.pool()
    made.adapter("pixel", triggerWords=["pixel art"])
    made.pod()
    return made


async def ask(to: World, method: str, path: str, **sent: Any) -> httpx.Response:
    async with to.client() as client:
        return await client.request(method, path.format(model="pixel", name="pixel", id="none"), **sent)


async def described(to: World) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(to, "GET", "/openapi.json")).json()
    return found


def check(page: dict[str, Any], reply: httpx.Response, method: str, path: str) -> None:
    """The answer has a status, a type and a body that the page says."""
    answers = page["paths"][path][method.lower()]["responses"]
    assert str(reply.status_code) in answers, (reply.status_code, reply.text[:300])
    content = answers[str(reply.status_code)].get("content", {})
    if method == "HEAD" or not content:
        assert reply.content == b""
        return
    media_type = "*/*" if "*/*" in content else reply.headers["content-type"].partition(";")[0]
    assert media_type in content
    if media_type == "application/json":
        schema = content[media_type]["schema"] | {"components": page["components"]}
        Draft202012Validator(schema).validate(reply.json())
    if media_type == "text/event-stream":
        events = [dict(line.split(": ", 1) for line in event.splitlines()) for event in reply.text.split("\n\n")[:-1]]
        assert events
        for event in events:
            Draft202012Validator(content[media_type]["schema"]).validate(event)


async def kept(to: World, path: str) -> str:
    """The path with the ID of something that is kept: a picture, or a request in the background that is over."""
    async with to.client() as client:
        if path.startswith("/v1/images/files/"):
            asked = await client.post("/v1/images/generations", json=PROMPT | {"response_format": "url"})
            return str(httpx.URL(asked.json()["data"][0]["url"]).path)
        if "{id}" not in path:
            return path
        id_: str = (await client.post("/v1/jobs", json=BODIES["/v1/jobs"])).json()["id"]
        await client.get(f"/v1/jobs/{id_}/events")
    return path.replace("{id}", id_)


@cache
def operations() -> list[tuple[str, str]]:
    """(method, path) of all that is described."""
    page = asyncio.run(described(world()))
    return [(method.upper(), path) for path, methods in page["paths"].items() for method in methods]


async def test_it_is_openapi() -> None:
    page = await described(world())
    validate(page)
    assert page["openapi"].startswith("3.1")
    names = [said["operationId"] for methods in page["paths"].values() for said in methods.values()]
    assert len(names) == len(set(names)) > 40


@pytest.mark.parametrize(("method", "path"), operations())
async def test_a_good_answer_is_what_the_page_says(method: str, path: str) -> None:
    reader = PictureReader()
    asked = world(reader=reader)
    page = await described(asked)
    sent = {"json": BODIES[path]} if path in BODIES and method == "POST" else FILES.get(path, {})
    reply = await ask(asked, method, await kept(asked, path), **sent)
    reader.close()
    assert reply.status_code in (200, 202), reply.text
    check(page, reply, method, path)
    if "json" in sent and "requestBody" in (said := page["paths"][path]["post"]):
        schema = said["requestBody"]["content"]["application/json"]["schema"] | {"components": page["components"]}
        Draft202012Validator(schema).validate(sent["json"])


@pytest.mark.parametrize(("method", "path"), operations())
async def test_a_refusal_for_want_of_a_key_is_what_the_page_says(method: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("secret")
    asked = world(keys=tmp_path)
    page = await described(asked)
    reply = await ask(asked, method, path)
    is_open = page["paths"][path][method.lower()].get("security") == []
    assert (reply.status_code == 401) is not is_open
    check(page, reply, method, path)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/", {"json": {"inputs": "a", "lora": "pixell"}}, 404),
        ("POST", "/v1/images/generations", {"json": {"prompt": ""}}, 400),
        ("POST", "/v1/images/edits", {"files": {"image": b"no picture"}}, 400),
        ("POST", "/v1/images/generations", {"content": b"x" * (1 << 17)}, 413),
        ("POST", "/sdapi/v1/txt2img", {"json": {"prompt": "a", "steps": "many"}}, 400),
        ("POST", "/sdapi/v1/options", {"json": {"samples_format": "gif"}}, 400),
        ("GET", "/sdapi/v1/progress", {"params": {"skip_current_image": "perhaps"}}, 422),
        ("GET", "/sdapi/v1/loras", {"headers": {"x-lorapool-pool": "default/nothing"}}, 404),
    ],
)
async def test_a_refusal_is_what_the_page_says(method: str, path: str, sent: dict[str, Any], status: int) -> None:
    asked = world()
    reply = await ask(asked, method, path, **sent)
    assert reply.status_code == status, reply.text
    check(await described(asked), reply, method, path)


async def test_an_adapter_that_cannot_work_is_a_refusal_that_the_page_knows() -> None:
    asked = world()
    asked.adapter("broken", ready={"status": "False", "reason": "BaseModelMismatch", "message": "for SD 1.5"})
    reply = await ask(asked, "POST", "/v1/images/generations", json={"prompt": "a", "model": "broken"})
    assert reply.status_code == 422
    check(await described(asked), reply, "POST", "/v1/images/generations")


async def test_events_and_addresses_are_among_the_answers() -> None:
    asked = world()
    page = await described(asked)
    for more in ({"stream": True}, {"response_format": "url"}):
        reply = await ask(asked, "POST", "/v1/images/generations", json=PROMPT | more)
        check(page, reply, "POST", "/v1/images/generations")


def test_a_route_that_says_nothing_of_itself_is_not_served() -> None:
    router = APIRouter()
    router.add_api_route("/silent", lambda: None)
    with pytest.raises(KeyError):
        document([router], "1")
