"""A pod for the bench of the gateway, as a process of its own: `stub` is the runtime itself, `clock` only waits.

The runtime makes one image after the other, so many requests at once measure its queue. The other answers each
request a hundredth of a second for each step after it came, however many there are: what is left is the way there.
"""

import argparse
import asyncio
import base64
import json
import random
import re
from typing import Final

from lorapool_api import names
from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device, EngineName, StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire import bundle
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.reply import GenerateReply, MadeImage, Timings
from lorapool_api.wire.request import ImageFormat
from lorapool_api.wire.state import ServingStatus

STEP_S: Final = 0.01
POOL: Final = "default/bench"
# A JPEG of 1024 x 1024 has about so many.
_IMAGE_BYTES: Final = 200_000
_ROOM: Final = 100_000
_KEPT_BYTES: Final = 8 << 10
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
# Clients of OpenAI can say no steps: theirs are the name of the user.
_STEPS: Final = re.compile(rb'"(?:steps|user)": *"?(\d+)')


def stub(address: str, cache: str, step_milliseconds: int) -> None:
    """The runtime with its stub engine, until it is ended."""
    from pathlib import Path

    from lorapool_runtime.process import serve
    from lorapool_runtime.settings import Settings

    config = RuntimeConfig(
        pool=POOL,
        model=BaseModelSpec(source=ModelSource(path="/models/bench"), dtype=Dtype.FLOAT32),
        engine=EngineName.STUB,
        device=Device.CPU,
        stub=StubTimings(step_milliseconds=step_milliseconds),
        serving=Serving(),
    )
    settings = Settings(config=config, listen=address, control_port=None, cache_dir=Path(cache), log_level="WARNING")
    serve(settings, Catalog.of([]))


class Clock(asyncio.Protocol):
    """One connection: its requests are answered in their turn, each when its time has come. Of a body it keeps as much
    as says how many steps there are: what a proxy holds of it is measured, not what this holds."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._received = bytearray()
        self._head: bytes | None = None
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- of a TCP server
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._head is not None or self._begins():
            if self._head is None or not self._is_whole():
                return
            self._answer(self._head.lower(), bytes(self._received[: self._left]))
            del self._received[: self._left]
            self._head = None

    def _begins(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head = bytes(self._received[:end])
        del self._received[: end + 4]
        found = _LENGTH.search(self._head)
        self._left = int(found[1]) if found else 0
        return True

    def _is_whole(self) -> bool:
        """Whether the rest of the body is there; what is in its middle is dropped."""
        beyond = min(len(self._received), self._left) - 2 * _KEPT_BYTES
        if beyond > 0:
            del self._received[_KEPT_BYTES : _KEPT_BYTES + beyond]
            self._left -= beyond
        return len(self._received) >= self._left

    def _answer(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"post"):
            self._send(self._answers[b"status"])
            return
        is_openai = b"/images/generations" in head.partition(b"\r\n")[0]
        kind = b"openai" if is_openai else b"bundle" if bundle.MEDIA_TYPE.encode() in head else b"image"
        found = _STEPS.search(body)
        wait_s = STEP_S * (int(found[1]) if found else 1)
        asyncio.get_running_loop().call_later(wait_s, self._send, self._answers[kind])

    def _send(self, answer: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(answer)


def _answers() -> dict[bytes, bytes]:
    image = random.Random(0).randbytes(_IMAGE_BYTES)  # noqa: S311 -- no secret
    reply = GenerateReply(
        images=(MadeImage(data="", seed=0),),
        format=ImageFormat.JPEG,
        width=1024,
        height=1024,
        base="bench",
        base_revision="0",
        adapters=(),
        pod="clock",
        timings=Timings(),
    )
    openai = {"created": 1, "data": [{"b64_json": base64.b64encode(image).decode()}]}
    status = ServingStatus(
        instance="0", digest="0", ready=True, pending=0, running=0, max_pending=_ROOM, reads_pictures=True
    )
    headers = b"x-lorapool-pod: clock\r\nx-lorapool-adapters: []\r\nx-lorapool-seed: 0\r\n"
    return {
        b"bundle": _http(bundle.MEDIA_TYPE.encode(), bundle.head(reply, (image,)) + image),
        b"image": _http(b"image/jpeg", image, headers),
        b"openai": _http(b"application/json", json.dumps(openai).encode()),
        b"status": _http(b"application/json", status.model_dump_json().encode()),
    }


def _http(media: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n%s" % (media, headers, len(body), body)


async def clock(address: str) -> None:
    """The pod that only waits, until it is ended."""
    answers = _answers()
    server = await asyncio.get_running_loop().create_server(
        lambda: Clock(answers), address, names.SERVING_PORT, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("stub", "clock"))
    parser.add_argument("address")
    parser.add_argument("--cache", default="")
    parser.add_argument("--step-milliseconds", type=int, default=0)
    given = parser.parse_args()
    if given.kind == "stub":
        stub(given.address, given.cache, given.step_milliseconds)
    else:
        asyncio.run(clock(given.address))


if __name__ == "__main__":
    main()
