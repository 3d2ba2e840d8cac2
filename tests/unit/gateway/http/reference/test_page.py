"""The page for people has all that the one for programs has, and nothing that runs."""

import re

from tests.unit.gateway.fakes import World

from lorapool_gateway.http.reference.page import page


async def test_it_shows_every_path_and_every_type_and_asks_for_nothing_else(world: World) -> None:
    async with world.client() as client:
        reply, described = await client.get("/docs"), (await client.get("/openapi.json")).json()
    assert reply.headers["content-type"].startswith("text/html")
    for path, methods in described["paths"].items():
        for method in methods.keys() - {"head"}:
            assert f"<code>{method.upper()} {path}</code>" in reply.text
    ids = set(re.findall(r'id="(\w+)"', reply.text))
    assert ids == described["components"]["schemas"].keys()
    assert set(re.findall(r'href="#(\w+)"', reply.text)) <= ids
    assert not re.search(r"<script|src=|https?://", reply.text)
    assert "default-src 'none'" in reply.headers["content-security-policy"]


async def test_it_needs_no_key_and_stands_in_every_pools_address(world: World) -> None:
    async with world.client() as client:
        found = await client.get("/pools/default/shapes/docs")
    assert found.status_code == 200
    assert 'href="openapi.json"' in found.text


def test_what_a_description_says_is_no_html() -> None:
    said = {"summary": "<b>", "tags": ["<i>"], "responses": {"200": {"description": "<u>"}}}
    made = page(
        {
            "info": {"title": "<a>", "version": "1", "description": "&"},
            "paths": {"/<p>": {"get": said}},
            "components": {"schemas": {"T": {"properties": {"<f>": {"description": "<s>", "type": "string"}}}}},
        }
    )
    for tag in ("<b>", "<i>", "<u>", "<a>", "<p>T", "<f>", "<s>"):
        assert tag not in made
