"""Credentials that are renewed, proxies, and servers with another name, against a real HTTP server."""

import asyncio
import dataclasses
import ssl

import pytest
from tests.unit.common.kube.api_server import Answer, ApiServer, Asked, refusal

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import AccessError, ApiError
from lorapool_common.kube.resources import PODS
from lorapool_local.pki import Authority, load_or_create_authority

POD = {"metadata": {"name": "one"}}


class Tokens:
    """Credentials whose token has another number each time that they are read, and a clock."""

    def __init__(self, access: ClusterAccess, fresh_s: float | None = None) -> None:
        self.reads = 0
        self.now_s = 0.0
        self.is_away = False
        self._access = dataclasses.replace(access, fresh_s=fresh_s, token="0")

    def client(self) -> Kube:
        return Kube(self._access, reload=self._reload, clock=lambda: self.now_s)

    async def _reload(self) -> ClusterAccess:
        self.reads += 1
        if self.is_away:
            raise AccessError("no file")
        return dataclasses.replace(self._access, token=str(self.reads))


def tokens_sent(server: ApiServer) -> list[str]:
    return [asked.headers["Authorization"].removeprefix("Bearer ") for asked in server.asked]


async def test_a_token_from_a_file_is_read_again_when_it_is_old() -> None:
    server = ApiServer(lambda _: POD)
    async with server.running():
        tokens = Tokens(server.access, fresh_s=60.0)
        async with tokens.client() as kube:
            for now_s in (0.0, 59.0, 60.0, 119.0, 120.0):
                tokens.now_s = now_s
                await asyncio.gather(*(kube.get(PODS, "team", "one") for _ in range(2)))
    assert tokens_sent(server) == ["0", "0", "0", "0", "1", "1", "1", "1", "2", "2"]


async def test_a_token_that_cannot_be_read_again_is_used_until_it_can() -> None:
    server = ApiServer(lambda _: POD)
    async with server.running():
        tokens = Tokens(server.access, fresh_s=60.0)
        async with tokens.client() as kube:
            for now_s, tokens.is_away in ((60.0, True), (61.0, True), (120.0, False)):
                tokens.now_s = now_s
                await kube.get(PODS, "team", "one")
    assert tokens_sent(server) == ["0", "0", "2"]


async def test_what_comes_from_no_file_is_not_read_again_by_time() -> None:
    server = ApiServer(lambda _: POD)
    async with server.running():
        tokens = Tokens(server.access)
        async with tokens.client() as kube:
            tokens.now_s = 1e6
            await kube.get(PODS, "team", "one")
    assert tokens.reads == 0


async def test_credentials_that_are_refused_are_read_anew_once_for_all() -> None:
    def answer(asked: Asked) -> Answer:
        return POD if asked.headers["Authorization"] == "Bearer 1" else refusal(401, "Unauthorized", "who?")

    server = ApiServer(answer)
    async with server.running():
        tokens = Tokens(server.access)
        async with tokens.client() as kube:
            got = await asyncio.gather(*(kube.get(PODS, "team", "one") for _ in range(5)))
    assert got == [POD] * 5
    assert tokens.reads == 1


async def test_credentials_that_cannot_be_read_anew_leave_the_refusal() -> None:
    server = ApiServer(lambda _: refusal(401, "Unauthorized", "who?"))
    async with server.running():
        tokens = Tokens(server.access)
        tokens.is_away = True
        async with tokens.client() as kube, Kube(server.access) as fixed:
            for client in (kube, fixed):
                with pytest.raises(ApiError, match="who"):
                    await client.get(PODS, "team", "one")
    assert len(server.asked) == 2


async def test_a_proxy_is_asked_in_place_of_the_server() -> None:
    proxy = ApiServer(lambda _: POD)
    async with proxy.running():
        access = ClusterAccess("http://api.test:6443", proxy=proxy.access.server)
        async with Kube(access) as kube:
            assert await kube.get(PODS, "team", "one") == POD
    (asked,) = proxy.asked
    assert asked.path == "http://api.test:6443/api/v1/namespaces/team/pods/one"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return load_or_create_authority(tmp_path_factory.mktemp("authority"))


def server_of(authority: Authority, name: str) -> tuple[ApiServer, str]:
    """A server whose certificate names it so, and whom to trust there."""
    pair = authority.issue("server", name, addresses=(name,))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    return ApiServer(lambda _: POD, tls=tls), authority.certificate_file.read_text()


async def test_a_server_is_known_by_the_name_that_the_kubeconfig_says(authority: Authority) -> None:
    server, trusted = server_of(authority, "api.test")
    async with server.running():
        access = ClusterAccess(server.access.server, trusted)
        async with Kube(dataclasses.replace(access, server_name="api.test")) as kube:
            assert await kube.get(PODS, "team", "one") == POD
        async with Kube(access) as kube:
            with pytest.raises(ApiError, match="Certificate"):
                await kube.get(PODS, "team", "one")
