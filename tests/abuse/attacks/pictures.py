"""Pictures that are none, or that unpack to more than they are."""

import base64
import random
import struct
import zlib
from functools import cache

from tests.abuse.attacks.attack import Attack, Make, post, post_json

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MIB = 2**20


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *before: bytes) -> bytes:
    """A PNG in grey with eight bits that says that size, whatever its data."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return _SIGNATURE + head + b"".join(before) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


@cache
def bombs() -> tuple[bytes, ...]:
    """The largest have some hundred kilobytes, and would be gigabytes."""
    zeros = zlib.compress(bytes(64 * _MIB), 9)
    text = _chunk(b"zTXt", b"Comment\0\0" + zeros)
    profile = _chunk(b"iCCP", b"profile\0\0" + zeros)
    international = _chunk(b"iTXt", b"Comment\0\x01\0\0\0" + zeros)
    pixel = zlib.compress(b"\0\0")
    return (
        png(65_535, 65_535, zeros),
        png(2**31 - 1, 2**31 - 1, pixel),
        png(0, 0, pixel),
        png(100_000, 1, zeros),
        png(12_000, 5_000, zeros),
        png(8, 8, zeros),
        png(1, 1, pixel, text),
        png(1, 1, pixel, *[text] * 8),
        png(1, 1, pixel, profile),
        png(1, 1, pixel, international),
        png(64, 64, b"no data"),
        png(64, 64, zlib.compress(b"\0" * 100))[:-20],
        png(1, 1, pixel, *[_chunk(b"tEXt", b"a\0b")] * 20_000),
        png(1, 1, pixel, _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        _SIGNATURE + struct.pack(">I", 2**31 - 1) + b"IHDR",
        b"\xff\xd8\xff\xe0" + b"\xff" * 5000,
        b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9",
        b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00\xff\xff\xff\xff\xff\xff",
        b"RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00",
    )


def picture(rng: random.Random) -> bytes:
    """One of the bombs, as it is or spoiled."""
    whole = rng.choice(bombs())
    if rng.random() < 0.3:
        spoiled = bytearray(whole)
        for _ in range(rng.randrange(1, 9)):
            spoiled[rng.randrange(8, len(spoiled))] = rng.randrange(256)
        return bytes(spoiled)
    return whole


def raw(rng: random.Random) -> Attack:
    target = rng.choice(("/?prompt=a+hat", "/models/bench?strength=0.5", "/", "/v1/verify"))
    return post("a picture in bytes", target, picture(rng), "image/png")


def in_json(rng: random.Random) -> Attack:
    bomb, other = (base64.b64encode(picture(rng)).decode() for _ in range(2))
    target, said = rng.choice(
        (
            ("/", {"inputs": bomb, "parameters": {"prompt": "a hat"}}),
            ("/", {"inputs": "a hat", "image": f"data:image/png;base64,{bomb}", "mask_image": other}),
            ("/sdapi/v1/img2img", {"prompt": "a hat", "init_images": [bomb], "mask": other}),
            ("/v1/images/edits", {"prompt": "a hat", "image": bomb, "mask": other}),
            ("/v1/images/edits", {"prompt": "a hat", "images": [bomb, other, bomb]}),
            ("/v1/images/variations", {"image": bomb}),
            ("/sdapi/v1/png-info", {"image": bomb}),
            ("/", {"inputs": "a", "loras": [{"name": "bench", "mask": bomb}]}),
        )
    )
    return post_json("a picture in JSON", target, said)


def in_form(rng: random.Random) -> Attack:
    names = rng.choice((("image",), ("image", "mask"), ("image[]",) * 4, ("image[]",) * 40))
    parts = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%s"; filename="a.png"\r\n\r\n%s\r\n'
        % (name.encode(), picture(rng))
        for name in names
    )
    body = parts + b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na hat\r\n--b--\r\n'
    target = rng.choice(("/v1/images/edits", "/v1/images/variations", "/v1/verify"))
    return post("a picture in a form", target, body, "multipart/form-data; boundary=b")


PICTURES: tuple[Make, ...] = (raw, in_json, in_form)
