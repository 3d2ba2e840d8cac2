"""The two forms in which pods send a reply and its images: beside each other, or in JSON."""

import asyncio

from lorapool_api.wire import bundle
from lorapool_api.wire.reply import GenerateReply
from lorapool_gateway.pods.images import Image, lift


def in_bundle(body: bytes | bytearray) -> tuple[GenerateReply, tuple[Image, ...]]:
    """The reply and its images as they are. Raises: ValueError."""
    reply, images = bundle.split(body)
    if not images:
        raise ValueError("there is no image")
    return reply, tuple([Image(data, is_base64=False) for data in images])


async def in_json(body: bytes | bytearray) -> tuple[GenerateReply, tuple[Image, ...]]:
    """The reply without its images, and those in base64. Raises: ValueError."""
    rest, found = lift(body)
    reply = GenerateReply.model_validate_json(rest)
    if len(found) != len(reply.images):
        # Written in another way than pods of this version do.
        reply = await asyncio.to_thread(GenerateReply.model_validate_json, body)
        found = tuple(memoryview(image.data.encode()) for image in reply.images)
    images = tuple(Image(data, is_base64=True) for data in found)
    if not images or not all([await image.is_whole() for image in images]):
        raise ValueError("the images are not in base64")
    bare = tuple(image.model_copy(update={"data": ""}) for image in reply.images)
    return reply.model_copy(update={"images": bare}), images
