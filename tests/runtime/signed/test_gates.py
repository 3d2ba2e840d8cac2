"""A pod's ports where its configuration trusts keys: over HTTP, as gateway and operator call them."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.runtime.pods import Running, config, entry, settings, started, write_adapter

from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.config import TrustedKeys
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import ServingStatus
from lorapool_common.process import CannotStart
from lorapool_common.signed.calls import SIGNATURE_HEADER, SignedCall, Signer
from lorapool_common.signed.keys import public_text, signing_key
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import RequestRefused
from lorapool_operator.pods.control import Control, TokenRefused

OPERATOR, GATEWAY = signing_key(b"o" * 16, "operator"), signing_key(b"g" * 16, "gateway")
TRUSTED = TrustedKeys(operators=(public_text(OPERATOR),), gateways=(public_text(GATEWAY),))
IP = "127.0.0.1"


@contextlib.asynccontextmanager
async def pod(tmp_path: Path, **changes: Any) -> AsyncIterator[Running]:
    own = settings(tmp_path, config(tmp_path / "adapters", trusted=TRUSTED), pod_ip=IP, **changes)
    async with started(own) as it:
        del it.control.headers["authorization"]
        assert (await it.serving.get("/healthz")).status_code == 200  # it listens
        yield it


def serving_port(it: Running) -> int:
    return it.runtime.settings.serving_port


def signed(it: Running, call: str, body: bytes = b"", method: str = "POST") -> dict[str, str]:
    """The header of a gateway's request."""
    place = f"{IP}:{serving_port(it)}"
    return {
        SIGNATURE_HEADER: Signer([GATEWAY]).token(SignedCall(place, method, call, hashlib.sha256(body).hexdigest()))
    }


async def test_probes_and_metrics_are_open_and_nothing_else(tmp_path: Path) -> None:
    async with pod(tmp_path) as it:
        for path in ("/healthz", "/metrics"):
            assert (await it.serving.get(path)).status_code == 200
        assert (await it.serving.get("/readyz")).status_code == 503
        for path in ("/v1/status", "/", "/docs", "/healthz/../v1/status", "//v1/status"):
            assert (await it.serving.get(path)).status_code in (401, 404), path
        refused = await it.generate()
        assert (refused.status_code, refused.json()["code"]) == (401, "Unauthorized")


async def test_a_gateway_is_served_and_another_one_is_not(tmp_path: Path) -> None:
    async with pod(tmp_path) as it:
        known = RuntimePod("u", "p", "default/shapes", IP, serving_port(it))
        async with PodClient(signer=Signer([GATEWAY])) as client:
            async with aclosing(client.follow(known)) as following:
                status = await anext(following)
            async with aclosing(client.follow(known, status)) as following:
                assert isinstance(await anext(following), ServingStatus)
        for keys in ([OPERATOR], [signing_key(b"x" * 16, "gateway")]):
            async with PodClient(signer=Signer(keys)) as client:
                with pytest.raises(RequestRefused, match="no known key"):
                    await anext(client.follow(known))


async def test_a_request_serves_once_and_only_with_its_own_body(tmp_path: Path) -> None:
    body = b'{"prompt": "a circle", "seed": 1}'
    async with pod(tmp_path) as it:
        headers = signed(it, "/v1/generate", body) | {"content-type": "application/json"}
        swapped = await it.serving.post("/v1/generate", content=body.replace(b"circle", b"square"), headers=headers)
        assert (swapped.status_code, "another" in swapped.json()["message"]) == (401, True)
        headers |= signed(it, "/v1/generate", body)
        assert (await it.serving.post("/v1/generate", content=body, headers=headers)).status_code in (200, 503)
        again = await it.serving.post("/v1/generate", content=body, headers=headers)
        assert (again.status_code, "before" in again.json()["message"]) == (401, True)


async def test_the_control_port_takes_the_operators_calls_alone(tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "adapters", "one")
    async with pod(tmp_path) as it:
        port = it.runtime.settings.control_port
        assert port is not None
        control = Control(port, Signer([OPERATOR]))
        catalog = Catalog.of([entry(one)])
        assert (await control.put(IP, "any", catalog)).digest == catalog.digest
        assert (await control.state(IP, "any", 0, None)).digest == catalog.digest
        for stranger in (Control(port), Control(port, Signer([GATEWAY]))):
            with pytest.raises(TokenRefused):
                await stranger.put(IP, (tmp_path / "control" / "token").read_text(), catalog)
            await stranger.close()
        await control.close()


async def test_pods_know_each_other_by_the_token_of_their_assignment(tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "adapters", "one")
    async with pod(tmp_path) as it:
        control = Control(it.runtime.settings.control_port or 0, Signer([OPERATOR]))
        await control.put(IP, "", Catalog.of([entry(one)]))
        await it.until("default/one")
        sha256 = hashlib.sha256(one.read_bytes()).hexdigest()

        async def asked(token: str, path: str = f"/v1/blobs/{sha256}") -> httpx.Response:
            return await it.control.get(path, headers={"authorization": f"Bearer {token}"})

        assert (await asked("t" * 64)).status_code == 401
        given = Assignment.of("shapes-0", {}, ()).with_token("t" * 64)
        assert (await control.assign(IP, "", given)).assignment == given.digest
        assert (await asked("t" * 64)).content == one.read_bytes()
        assert (await asked("t" * 64, "/v1/state")).status_code == 401
        assert (await asked("u" * 64)).status_code == 401
        await control.close()


async def test_a_pod_that_does_not_know_its_address_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="POD_IP"):
        async with started(settings(tmp_path, config(tmp_path, trusted=TRUSTED), pod_ip=None)):
            pass
