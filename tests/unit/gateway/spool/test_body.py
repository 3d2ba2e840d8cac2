"""Large bodies of requests lie on disk until their requests are answered, and reach the pod as they came."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from tests.unit.gateway.fakes import encoded_image
from tests.unit.gateway.pods.connections import MEGABYTE, http, pod_that, reply

from lorapool_api.wire.gateways import pictures
from lorapool_api.wire.request import MAX_PICTURE_BYTES, GenerateRequest, ImageFormat
from lorapool_gateway.errors import BadRequest, Busy
from lorapool_gateway.held import Bodies
from lorapool_gateway.http.hf.dialect import Sent, parse
from lorapool_gateway.http.openai.edits import parse_edit
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.payload import payload
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.spool.body import MEMORY_BYTES, Spool, SpooledBody
from lorapool_gateway.spool.disk import Disk
from lorapool_gateway.spool.kinds import HEAD_BYTES
from lorapool_gateway.spool.pictures import Picture, Segment

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


def stored_in(spool: Spool, request: GenerateRequest) -> list[Picture]:
    """The pictures that stand in it."""
    return [picture for _, picture in spool.pictures.parts(request.model_dump_json().encode()) if picture is not None]


def largest_text(asked: ImageRequest) -> int:
    return max(map(len, asked.generate.model_dump_json().split('"')))


def in_base64(body: bytes) -> GenerateRequest:
    """What a pod reads that takes pictures beside a request, with these in it as for any other pod."""
    request, beside = pictures.split(body)
    text = request.model_dump_json()
    for number, picture in enumerate(beside):
        text = text.replace(f'"{pictures.reference(number)}"', f'"{base64.b64encode(picture).decode()}"')
    return GenerateRequest.model_validate_json(text)


async def test_pictures_of_a_large_body_are_on_disk_and_reach_the_pod_whole(disk: Disk) -> None:
    sent = {"inputs": BASE64, "parameters": {"prompt": 'a "cat"', "mask_image": BASE64, "seed": 3}}
    controls = [{"name": "pose", "image": BASE64}]
    data = json.dumps(sent | {"parameters": {**sent["parameters"], "controls": controls}}).encode()  # type: ignore[dict-item]
    spool, got, heads = Spool(Bodies(2 * MEGABYTE), disk), [], []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        heads.append(head.lower())
        got.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(http(reply(b"image").model_dump_json().encode()))
        await writer.drain()

    async with PodClient(stored=spool.pictures) as client, pod_that(talk) as pod:
        with spool.body() as body:
            asked = await (await fed(body, data)).parsed(PARSE)
            assert largest_text(asked) < 100
            assert 3 * len(PICTURE) <= disk.size_bytes < 3 * len(PICTURE) + 1000
            for reads_pictures in (False, False, True, True):
                await client.generate(pod, asked.generate, MEGABYTE, reads_pictures=reads_pictures)
    expected = PARSE(data).generate
    assert [GenerateRequest.model_validate_json(one) == expected for one in got[:2]] == [True, True]
    assert [in_base64(one) == expected for one in got[2:]] == [True, True]
    assert 3 * len(PICTURE) < len(got[3]) < 3 * len(PICTURE) + 2000
    types = [pictures.MEDIA_TYPE.encode() in head for head in heads]
    assert types == [False, False, True, True]


async def test_a_picture_that_is_the_whole_body_is_not_read(disk: Disk) -> None:
    spool, seen = Spool(Bodies(), disk), []

    def read(body: bytes) -> ImageRequest:
        seen.append(len(body))
        return PARSE(body)

    small = PICTURE[: MEMORY_BYTES // 2]
    with spool.body() as one, spool.body() as two:
        for body, data in ((one, PICTURE), (two, small)):
            asked = await (await fed(body, data)).parsed(read)
            sent = payload(asked.generate, spool.pictures, reads_pictures=True)
            assert b"".join([piece async for piece in sent.sent()]).endswith(data)
    assert max(seen) <= HEAD_BYTES


async def test_a_picture_that_no_pod_would_read_is_refused(disk: Disk) -> None:
    with pytest.raises(BadRequest, match=f"at most {MAX_PICTURE_BYTES}"), Spool(Bodies(), disk).body() as body:
        await (await fed(body, PICTURE[:MEMORY_BYTES] + bytes(MAX_PICTURE_BYTES))).parsed(PARSE)


async def test_a_body_that_says_how_large_it_is_does_not_gather_in_memory_first(disk: Disk) -> None:
    spool = Spool(Bodies(MEMORY_BYTES // 4), disk)
    with spool.body() as body:
        body.announce(len(PICTURE))
        await fed(body, PICTURE)
    with spool.body() as body, pytest.raises(Busy):
        await fed(body, PICTURE)


async def test_a_picture_of_a_form_is_on_disk_too(disk: Disk) -> None:
    spool = Spool(Bodies(), disk)
    form = b'--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n' + PICTURE + b"\r\n"
    form += b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na cat\r\n--b--\r\n'
    edit = partial(parse_edit, content_type="multipart/form-data; boundary=b")
    with spool.body() as body:
        asked = await (await fed(body, form)).parsed(edit)
        assert largest_text(asked) < 100
        (picture,) = stored_in(spool, asked.generate)
        assert isinstance(picture, Segment)
        assert picture.file.read(picture.start, picture.size_bytes) == PICTURE


async def test_what_is_small_stays_in_memory(disk: Disk) -> None:
    with Spool(Bodies(), disk).body() as body:
        asked = await (await fed(body, b"a cat")).parsed(PARSE)
        assert (asked.generate.prompt, disk.size_bytes) == ("a cat", 0)


async def test_without_a_folder_all_of_it_is_in_memory_and_counted(disk: Disk) -> None:
    spool = Spool(Bodies(len(PICTURE)))
    with spool.body() as body:
        assert stored_in(spool, (await (await fed(body, PICTURE)).parsed(PARSE)).generate) == [PICTURE]
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
        assert stored_in(spool, guessed) == []
    assert stored_in(spool, asked.generate) == []


async def test_no_text_of_a_client_stands_for_a_picture(disk: Disk) -> None:
    spool = Spool(Bodies(), disk)
    with spool.body() as body, spool.body() as other:
        asked = await (await fed(body, PICTURE)).parsed(PARSE)
        assert asked.generate.image
        for sent in (asked.generate.image, json.dumps({"inputs": "a", "image": asked.generate.image})):
            with pytest.raises(BadRequest) if sent[0] == "{" else nullcontext():
                asked_again = await (await fed(other, sent.encode())).parsed(PARSE)
                assert (asked_again.generate.image, asked_again.generate.prompt) == (None, sent)


async def test_a_file_that_was_closed_is_not_read_by_its_number(disk: Disk) -> None:
    with disk.file() as file:
        file.append(b"abc")
    with disk.file() as other:
        other.append(b"xyz")
        with pytest.raises(OSError, match="closed"):
            file.read(0, 3)
        with pytest.raises(Busy):
            file.append(b"abc")
