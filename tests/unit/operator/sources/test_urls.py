"""Adapters at addresses, read by their header alone."""

import pytest
from tests import make
from tests.files import lora_file
from tests.operator_hub import FakeHub
from tests.unit.operator.sources.asking import refused, resolved

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.resolver import Resolver


def from_url(hub: FakeHub, file: str) -> Adapter:
    return make.adapter(source={"url": f"{hub.url}/plain/{file}"})


async def test_a_server_without_ranges_is_left_as_soon_as_the_header_is_there(hub: FakeHub, resolver: Resolver) -> None:
    hub.ranges = False
    hub.plain["x.safetensors"] = content = lora_file(rank=300_000)
    found = await resolved(resolver, from_url(hub, "x.safetensors"))
    assert (found.size_bytes, found.sha256, found.file) == (len(content), None, "x.safetensors")
    assert len(content) > 50_000_000
    assert hub.sent_bytes < len(content) / 2


async def test_a_redirect_may_not_leave_the_allowed_hosts(hub: FakeHub, resolver: Resolver) -> None:
    hub.redirects["x.safetensors"] = "http://169.254.169.254/latest/meta-data"
    reason, message = await refused(resolver, from_url(hub, "x.safetensors"))
    assert reason is Reason.SOURCE_FORBIDDEN
    assert "169.254.169.254" in message


async def test_a_redirect_within_them_is_followed_and_a_circle_is_left(hub: FakeHub, resolver: Resolver) -> None:
    hub.plain["real.safetensors"] = lora_file()
    hub.redirects |= {"moved.safetensors": "/plain/real.safetensors", "circle.safetensors": "/plain/circle.safetensors"}
    assert (await resolved(resolver, from_url(hub, "moved.safetensors"))).rank == 4
    circle = make.adapter("circle", source={"url": f"{hub.url}/plain/circle.safetensors"})
    reason, message = await refused(resolver, circle)
    assert reason is Reason.SOURCE_NOT_FOUND
    assert "redirects" in message


async def test_a_signature_in_an_address_is_never_shown(hub: FakeHub, headers: Headers) -> None:
    with pytest.raises(SourceRefused) as caught:
        await headers.of_url(f"{hub.url}/plain/x?sig=secret")
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    assert "secret" not in caught.value.message


async def test_a_header_longer_than_the_first_piece_is_read_with_a_second(hub: FakeHub) -> None:
    hub.plain = {"x": lora_file(), "y": b"\xff" * 64}
    async with Headers((hub.host,), first_bytes=16) as headers:
        header = await headers.of_url(f"{hub.url}/plain/x")
        assert (header.size_bytes, header.text[:1]) == (len(lora_file()), b"{")
        with pytest.raises(FactsError):
            await headers.of_url(f"{hub.url}/plain/y")
