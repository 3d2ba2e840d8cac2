"""Images on their way through the gateway: as the pod made them, bounded, and piece by piece."""

import asyncio
from collections.abc import Callable

import pytest
from tests.unit.gateway.pods.connections import MEGABYTE, REQUEST, all_there, http, pod_that, read_request, reply

from lorapool_api.wire import bundle
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import InvalidReply


@pytest.mark.parametrize("picture", ["aGVsbG8=", 'a","steps":9,"x":"', "é\n", "abc"])
async def test_a_picture_reaches_the_pod_as_it_is_whatever_it_is(client: PodClient, picture: str) -> None:
    got: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        got.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(http(reply(b"image").model_dump_json().encode()))
        await writer.drain()

    sent = REQUEST.model_copy(update={"image": picture, "mask": "aGVsbG8=", "strength": 0.5})
    async with pod_that(talk) as pod:
        await client.generate(pod, sent, MEGABYTE)
        await client.generate(pod, REQUEST, MEGABYTE)
    assert [GenerateRequest.model_validate_json(body) for body in got] == [sent, REQUEST]


@pytest.mark.parametrize("text", ['{"data": "AA=="}', '{"data":"A\\\\"}', '{"data":"AAA"}', '{"data":"AA\nA"}'])
async def test_what_is_no_base64_is_no_image(client: PodClient, text: str) -> None:
    whole = reply(b"").model_dump_json().replace('{"data":""', text.removesuffix("}"))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(whole.encode()))

    async with pod_that(talk) as pod:
        if "AA==" in text:  # JSON as another version might write it
            _, (image,) = all_there(await client.generate(pod, REQUEST, MEGABYTE))
            assert await image.raw() == b"\0"
        else:
            with pytest.raises(InvalidReply):
                await client.generate(pod, REQUEST, MEGABYTE)


async def test_pods_are_asked_for_images_as_they_are(client: PodClient) -> None:
    asked = b""
    made = reply(b"one", b"three")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = (await read_request(reader)).lower()
        body = bundle.head(made, (b"one", b"three")) + b"onethree"
        writer.write(http(body).replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1))

    async with pod_that(talk) as pod:
        found, images = all_there(await client.generate(pod, REQUEST, MEGABYTE))
    assert f"accept: {bundle.MEDIA_TYPE}".encode() in asked
    assert [await image.raw() for image in images] == [b"one", b"three"]
    assert [image.seed for image in found.images] == [0, 1]
    assert [image.base64_bytes for image in images] == [4, 8]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body + b"x",
        lambda body: b"\xff" + body[1:],
        lambda body: body.replace(b'"sizes":[3,5]', b'"sizes":[8]  '),
        lambda body: body.replace(b'"sizes":[3,5]', b'"sizes":[9,-1]').replace(
            body[:4], (len(body) - 11).to_bytes(4, "big")
        ),
        lambda body: b"",
        lambda body: b"\0\0\0\2{}",
    ],
)
def test_what_is_no_bundle_is_refused(change: Callable[[bytes], bytes]) -> None:
    body = bundle.head(reply(b"one", b"three"), (b"one", b"three")) + b"onethree"
    assert bundle.split(body)[0].pod == "p"
    with pytest.raises(ValueError):  # noqa: PT011 -- pydantic's is one too
        bundle.split(change(body))
