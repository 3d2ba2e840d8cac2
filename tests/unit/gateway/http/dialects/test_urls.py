"""`response_format: url`: pictures by an address of the gateway, for a while and for whoever knows it."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from tests.unit.gateway.fakes import World, encoded_image

from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.kept.ids import Ids, KeptKind
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.settings import Settings

ASKED = {"prompt": "a cat", "seed": 5, "response_format": "url"}


class Clock:
    """Seconds since 1970 that a test sets."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def world(**settings: Any) -> World:
    made = World(**settings)
    made.pool()
    made.pod()
    return made


async def urls(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **more: Any) -> list[str]:
    reply = await client.post("/v1/images/generations", json=ASKED | more, headers=headers)
    assert reply.status_code == 200, reply.text
    assert "content-length" in reply.headers
    return [row["url"] for row in reply.json()["data"]]


async def test_each_picture_is_at_its_address_and_needs_no_key(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("secret")
    asked = world(keys=tmp_path)
    async with asked.client(authorization="Bearer secret") as alice, asked.client() as anybody:
        first, second = await urls(alice, n=2, output_format="webp")
        assert first.startswith("http://gateway/v1/images/files/")
        assert first.endswith(".webp")
        for seed, url in ((5, first), (6, second)):
            got = await anybody.get(url)
            assert (got.status_code, got.headers["content-type"]) == (200, "image/webp")
            assert got.content == encoded_image(seed, ImageFormat.WEBP)
            assert got.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in got.headers["content-security-policy"]
        head = await anybody.head(first)
        assert (head.status_code, head.headers["content-type"]) == (200, "image/webp")


async def test_it_is_there_for_its_time_and_no_longer() -> None:
    clock = Clock()
    async with world(kept=Kept(clock=clock, keep_s=60)).client() as client:
        (url,) = await urls(client)
        assert (await client.get(url)).headers["cache-control"] == "private, max-age=60"
        clock.now += 60
        gone = await client.get(url)
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "gone")


async def test_no_address_is_guessed_and_none_of_another_kind_is_one() -> None:
    kept = Kept()
    async with world(kept=kept).client() as client:
        (url,) = await urls(client)
        id_ = url.rpartition("/")[2].partition(".")[0]
        other = "B" if id_[40] == "A" else "A"
        for guess in (f"{id_[:40]}{other}{id_[41:]}", kept.ids.new(KeptKind.REQUEST), Ids().new(KeptKind.IMAGE), "x"):
            assert (await client.get(f"/v1/images/files/{guess}.png")).status_code == 404


async def test_where_the_pool_says_so_the_url_is_the_picture_itself() -> None:
    asked = world()
    asked.pool(serving={"imageUrls": "Data"})
    async with asked.client() as client:
        (url,) = await urls(client)
    head, _, data = url.partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/png;base64", encoded_image(5, ImageFormat.PNG))


@pytest.mark.parametrize(
    ("headers", "begins"),
    [
        ({"host": "images.example.org:8443"}, "http://images.example.org:8443/v1/"),
        ({"host": "images.example.org", "x-forwarded-proto": "https"}, "https://images.example.org/v1/"),
        ({"host": "[fd00::7]:80", "x-forwarded-proto": "https, http"}, "https://[fd00::7]:80/v1/"),
        ({"host": "images.example.org", "x-forwarded-proto": "javascript"}, "http://images.example.org/v1/"),
        ({"host": 'a"b/../<c>'}, "data:image/png;base64,"),
    ],
)
async def test_the_address_is_the_one_that_the_client_has_used(headers: dict[str, str], begins: str) -> None:
    async with world().client() as client:
        (url,) = await urls(client, headers)
    assert url.startswith(begins)


@pytest.mark.parametrize(
    ("public", "begins"),
    [
        ("https://images.example.org", "https://images.example.org/v1/images/files/"),
        ("https://example.org:8443/lora/", "https://example.org:8443/lora/v1/images/files/"),
    ],
)
async def test_where_the_gateway_knows_its_address_that_is_the_one(public: str, begins: str) -> None:
    async with world(public_url=public).client() as client:
        (url,) = await urls(client, {"host": 'a"b', "x-forwarded-proto": "http"})
    assert url.startswith(begins)


@pytest.mark.parametrize("public", ["images.example.org", "ftp://x", "https://user:pw@x", "https://x/?a=b", "https://"])
def test_an_address_that_is_none_is_refused_at_the_start(public: str) -> None:
    with pytest.raises(ValidationError):
        Settings(public_url=public)


async def test_a_picture_that_is_too_large_to_keep_is_in_its_url() -> None:
    async with world(kept=Kept(max_bytes=4 << 10)).client() as client:
        (url,) = await urls(client)
    assert url.startswith("data:image/png;base64,")


async def test_pictures_of_a_request_in_the_background_have_addresses_too() -> None:
    async with world().client() as client:
        begun = (await client.post("/v1/jobs", json={"url": "/v1/images/generations", "body": ASKED})).json()
        await client.get(f"/v1/jobs/{begun['id']}/events")
        result = (await client.get(f"/v1/jobs/{begun['id']}/result")).json()
        got = await client.get(result["data"][0]["url"])
    assert got.content == encoded_image(5, ImageFormat.PNG)
