"""What a key is for, from the request to the menus, in each dialect."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import make
from tests.unit.gateway.fakes import World, read, with_ready

from lorapool_gateway.cluster.directory import ObjectKind

ENTRIES = {
    "all": "key: all",
    "pixel": "{key: pixel, adapters: [default/pixel]}",
    "team": "{key: team, namespaces: [team-b]}",
    "base": "{key: base, pools: [default/shapes], namespaces: [team-b]}",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    for name, entry in ENTRIES.items():
        (tmp_path / name).write_text(entry)
    made = World(keys=tmp_path)
    made.pool(adapters={"namespaces": {"from": "All"}})
    made.adapter("pixel")
    made.adapter("pixels")
    for name in ("pixel", "theirs"):
        adapter = with_ready(make.adapter(name, namespace="team-b", poolRef={"namespace": "default", "name": "shapes"}))
        made.directory.put(ObjectKind.ADAPTER, read(adapter))
    made.pod()
    return made


async def ask(world: World, key: str, path: str = "/", **options: Any) -> httpx.Response:
    async with world.client(**{"x-api-key": key}) as client:
        headers = options.pop("headers", {})
        if "json" in options or "content" in options:
            return await client.post(path, headers=headers, **options)
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("key", "lora", "status"),
    [
        ("all", "default/pixel", 200),
        ("all", "", 200),
        ("pixel", "default/pixel", 200),
        ("pixel", "pixels", 403),
        ("pixel", "default/pixel, pixels", 403),
        ("pixel", "", 404),
        ("team", "theirs", 200),
        ("team", "default/pixel", 403),
        ("base", "theirs", 200),
        ("base", "", 200),
        ("base", "pixels", 403),
    ],
)
async def test_a_key_makes_images_with_what_it_is_for(world: World, key: str, lora: str, status: int) -> None:
    answer = await ask(world, key, content="a cat", headers={"lora": lora})
    assert answer.status_code == status


async def test_a_name_means_what_the_key_is_for(world: World) -> None:
    """Somebody else had the name first, in another pool: for this key there is one."""
    world.directory.put(ObjectKind.POOL, read(make.pool("tiny", namespace="team-b")))
    world.directory.put(ObjectKind.ADAPTER, read(with_ready(make.adapter("pixels", namespace="team-b", pool="tiny"))))
    world.pod("pod-tiny", pool="team-b/tiny")
    mine = await ask(world, "team", content="a cat", headers={"lora": "pixels"})
    first = await ask(world, "all", content="a cat", headers={"lora": "pixels"})
    assert "team-b/pixels" in mine.headers["x-lorapool-adapters"]
    assert "default/pixels" in first.headers["x-lorapool-adapters"]


async def test_the_base_may_be_named_as_the_place_of_an_adapter(world: World) -> None:
    there = await ask(world, "pixel", "/models/shapes", content="a cat", headers={"lora": "default/pixel"})
    bare = await ask(world, "pixel", "/models/shapes", content="a cat")
    assert (there.status_code, bare.status_code) == (200, 403)


async def test_each_dialect_refuses_in_its_own_shape(world: World) -> None:
    hf = await ask(world, "pixel", "/models/pixels", content="a cat")
    openai = await ask(world, "pixel", "/v1/images/generations", json={"prompt": "a cat", "model": "pixels"})
    sdapi = await ask(world, "pixel", "/sdapi/v1/txt2img", json={"prompt": "a cat <lora:pixels:1>"})
    assert (hf.status_code, openai.status_code) == (403, 403)
    assert "pixels" in hf.json()["error"]
    error = openai.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("permission_error", "model_not_allowed", "model")
    assert openai.headers["x-should-retry"] == "false"
    assert (sdapi.status_code, sdapi.json()["error"]) == (403, "model_not_allowed")


async def test_what_a_key_is_not_for_is_in_no_list(world: World) -> None:
    models = {row["id"] for row in (await ask(world, "team", "/v1/models")).json()["data"]}
    loras = {row["name"] for row in (await ask(world, "team", "/sdapi/v1/loras")).json()}
    bases = (await ask(world, "team", "/sdapi/v1/sd-models")).json()
    everything = (await ask(world, "all", "/v1/models")).json()["data"]
    assert models == loras
    assert len(models) == 2
    assert bases == []
    assert len(everything) == 5


async def test_one_model_is_shown_to_keys_that_are_for_it(world: World) -> None:
    assert (await ask(world, "pixel", "/v1/models/default/pixel")).status_code == 200
    assert (await ask(world, "pixel", "/v1/models/pixels")).status_code == 403
    assert (await ask(world, "pixel", "/models/pixels")).status_code == 403


async def test_near_misses_name_only_what_the_key_is_for(world: World) -> None:
    told = await ask(world, "pixel", content="a cat", headers={"lora": "pixelz"})
    all_told = await ask(world, "all", content="a cat", headers={"lora": "pixelz"})
    assert told.status_code == all_told.status_code == 404
    assert "pixels" in all_told.json()["error"]
    assert "pixels" not in told.json()["error"]
    assert "pixel'" in told.json()["error"]


async def test_a_pool_that_a_key_is_not_for_is_no_place(world: World) -> None:
    world.pool("other")
    answer = await ask(world, "base", "/pools/default/other/sdapi/v1/loras")
    named = await ask(world, "base", content="a cat", headers={"x-lorapool-pool": "other"})
    assert (answer.status_code, named.status_code) == (404, 403)
