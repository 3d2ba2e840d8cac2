"""Large bodies of requests lie on disk until their requests are answered, and reach the pod as they came."""

import asyncio
import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.gateway.fakes import encoded_image
from tests.unit.gateway.pods.connections import MEGABYTE, http, pod_that, reply

from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_gateway.errors import BadRequest, Busy
from lorapool_gateway.held import Bodies
from lorapool_gateway.http.hf.dialect import Sent, parse
from lorapool_gateway.http.openai.edits import parse_edit
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.spool.body import MEMORY_BYTES, Spool, SpooledBody
from lorapool_gateway.spool.disk import Disk

PIECE = 100_000
# What pods would open is not looked at here: a file of any length that begins as a picture does.
PICTURE = encoded_image(1, ImageFormat.PNG) + bytes(3 * MEMORY_BYTES)
BASE64 = base64.b64encode(PICTURE).decode()
PARSE = partial(parse, sent=Sent())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path, 64 * MEGABYTE)
    yield made
    assert made.size_bytes == 0
    assert not list(tmp_path.iterdir())


async def fed(body: SpooledBody, data: bytes) -> SpooledBody:
    for start in range(0, len(data), PIECE):
        await body.add(data[start : start + PIECE])
    return body


def largest_text(asked: ImageRequest) -> int:
    return max(map(len, asked.generate.model_dump_json().split('"')))


async def test_pictures_of_a_large_body_are_on_disk_and_reach_the_pod_whole(disk: Disk) -> None:
    sent = {"inputs": BASE64, "parameters": {"prompt": 'a "cat"', "mask_image": BASE64, "seed": 3}}
    controls = [{"name": "pose", "image": BASE64}]
    data = json.dumps(sent | {"parameters": {**sent["parameters"], "controls": controls}}).encode()  # type: ignore[dict-item]
    spool, got = Spool(Bodies(2 * MEGABYTE), disk), []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        got.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(http(reply(b"image").model_dump_json().encode()))
        await writer.drain()

    async with PodClient(stored=spool.pictures) as client, pod_that(talk) as pod:
        with spool.body() as body:
            asked = await (await fed(body, data)).parsed(PARSE)
            assert largest_text(asked) < 100
            assert 3 * len(BASE64) <= disk.size_bytes < 3 * len(BASE64) + 1000
            await client.generate(pod, asked.generate, MEGABYTE)
            await client.generate(pod, asked.generate, MEGABYTE)
    expected = PARSE(data).generate
    assert [GenerateRequest.model_validate_json(one) == expected for one in got] == [True, True]


async def test_a_picture_that_is_the_whole_body_and_one_of_a_form_are_on_disk_too(disk: Disk) -> None:
    spool = Spool(Bodies(), disk)
    form = b'--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n' + PICTURE + b"\r\n"
    form += b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na cat\r\n--b--\r\n'
    edit = partial(parse_edit, content_type="multipart/form-data; boundary=b")
    with spool.body() as one, spool.body() as two:
        for asked in (await (await fed(one, PICTURE)).parsed(PARSE), await (await fed(two, form)).parsed(edit)):
            assert largest_text(asked) < 100
            parts = list(spool.pictures.parts(asked.generate.model_dump_json().encode()))
            (picture,) = (part for part in parts if not isinstance(part, bytes))
            assert picture.file.read(picture.start, picture.size_bytes).decode() == BASE64


async def test_what_is_small_stays_in_memory(disk: Disk) -> None:
    with Spool(Bodies(), disk).body() as body:
        asked = await (await fed(body, b"a cat")).parsed(PARSE)
        assert (asked.generate.prompt, disk.size_bytes) == ("a cat", 0)


async def test_without_a_folder_all_of_it_is_in_memory_and_counted(disk: Disk) -> None:
    spool = Spool(Bodies(len(PICTURE)))
    with spool.body() as body:
        assert (await (await fed(body, PICTURE)).parsed(PARSE)).generate.image == BASE64
        with spool.body() as other, pytest.raises(Busy):
            await fed(other, b"a cat")


async def test_room_on_disk_is_bounded_and_given_back(disk: Disk) -> None:
    spool = Spool(Bodies(), Disk(disk.folder, 4 * MEGABYTE))
    with spool.body() as first, spool.body() as second:
        await fed(first, PICTURE)
        with pytest.raises(Busy, match="room"):
            await fed(second, PICTURE)
    with spool.body() as third:
        await fed(third, PICTURE)


async def test_a_request_that_is_none_leaves_nothing(disk: Disk) -> None:
    spool = Spool(Bodies(), disk)
    with pytest.raises(BadRequest), spool.body() as body:
        await (await fed(body, b"{" * 2 * MEMORY_BYTES)).parsed(PARSE)


async def test_what_is_no_base64_does_not_get_among_the_fields_of_the_request(disk: Disk) -> None:
    sent = json.dumps({"inputs": "a cat", "image": BASE64[: 2 * MEMORY_BYTES] + '","steps":9,"x":"aa'}).encode()
    with pytest.raises(BadRequest, match="base64"), Spool(Bodies(), disk).body() as body:
        await (await fed(body, sent)).parsed(PARSE)


async def test_a_prompt_that_looks_as_if_it_stood_for_a_picture_stands_for_nothing(disk: Disk) -> None:
    spool = Spool(Bodies(), disk)
    with spool.body() as body:
        asked = await (await fed(body, PICTURE)).parsed(PARSE)
        guessed = asked.generate.model_copy(update={"prompt": f"@spool:{'0' * 32}", "image": None})
        text = guessed.model_dump_json().encode()
        assert b"".join(part for part in spool.pictures.parts(text) if isinstance(part, bytes)) == text
    assert all(isinstance(part, bytes) for part in spool.pictures.parts(asked.generate.model_dump_json().encode()))


async def test_a_file_that_was_closed_is_not_read_by_its_number(disk: Disk) -> None:
    with disk.file() as file:
        file.append(b"abc")
    with disk.file() as other:
        other.append(b"xyz")
        with pytest.raises(OSError, match="closed"):
            file.read(0, 3)
        with pytest.raises(Busy):
            file.append(b"abc")
