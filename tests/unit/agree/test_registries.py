"""One artifact, one reason: the operator's look and the pods' download say the same of a registry's answers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.artifacts.registry import FakeRegistry, registry_serving
from tests.files import lora_file
from tests.unit.agree.artifacts import agreed
from tests.web import Reply

from lorapool_api.fetch.oci.access import PASSWORD, USERNAME
from lorapool_api.fetch.policy import SourceRefused, reason_of_status
from lorapool_api.kinds.artifacts import OciSource
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.credentials import Credentials
from lorapool_api.wire.sources.artifacts import OciFile
from lorapool_operator.sources.artifacts.found import FoundFile
from lorapool_operator.sources.artifacts.oci import OciClient
from lorapool_operator.sources.http import PublicClient
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.artifacts.oci import RegistryFile
from lorapool_runtime.sources.limits import Expected, write_hashed

WEIGHTS = "pixel.safetensors"
KNOWN: Credentials = {USERNAME: SecretStr("reader"), PASSWORD: SecretStr("canary-of-reader")}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with registry_serving() as it:
        it.push("acme/loras", "1.0", {WEIGHTS: lora_file()})
        yield it
        assert "canary" not in " ".join(it.shown)


@pytest.fixture
async def client() -> AsyncIterator[PublicClient]:
    async with PublicClient() as it:
        yield it


async def looked(
    client: PublicClient,
    registry: FakeRegistry,
    tag: str = ":1.0",
    credentials: Credentials | None = None,
    hosts: tuple[str, ...] | None = None,
) -> FoundFile | Reason:
    source = OciSource(ref=f"{registry.host}/acme/loras{tag}")
    try:
        return await OciClient(client, registry.listed if hosts is None else hosts).find(source, credentials)
    except (SourceRefused, FactsError) as error:
        registry.shown.append(error.message)
        return error.reason


def fetched(
    registry: FakeRegistry,
    digest: str,
    folder: Path,
    credentials: Credentials | None = None,
    hosts: tuple[str, ...] | None = None,
) -> bytes | Reason:
    source = OciFile(ref=f"{registry.host}/acme/loras@{digest}", file=WEIGHTS)
    try:
        file = RegistryFile(source, registry.listed if hosts is None else hosts, credentials)
        file.fetch(folder / "file", Expected(None, None, 10**6), lambda: False, write_hashed)
    except AdapterError as error:
        registry.shown.append(error.message)
        return error.reason
    return (folder / "file").read_bytes()


async def both(
    client: PublicClient,
    registry: FakeRegistry,
    folder: Path,
    credentials: Credentials | None = None,
    hosts: tuple[str, ...] | None = None,
) -> Reason | None:
    """What both say of the artifact; None: it is there."""
    digest = registry.tags["acme/loras", "1.0"]
    found = await looked(client, registry, credentials=credentials, hosts=hosts)
    got = fetched(registry, digest, folder, credentials, hosts)
    return agreed(found, got, digest, WEIGHTS)


async def test_a_tag_is_a_manifest_and_its_layer_is_the_file(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    assert await both(client, registry, tmp_path) is None
    assert set(registry.scopes) == {"repository:acme/loras:pull"}  # the challenge asked for more


async def test_no_byte_of_the_weights_comes_with_the_operators_look(
    client: PublicClient, registry: FakeRegistry
) -> None:
    large = lora_file(rank=300_000)
    registry.push("acme/loras", "1.0", {WEIGHTS: large})
    found = await looked(client, registry)
    assert not isinstance(found, Reason)
    assert found.header.size_bytes == len(large) > 10**7


@pytest.mark.parametrize("ranges", [True, False])
async def test_blobs_may_lie_elsewhere_and_no_token_goes_there(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path, ranges: bool
) -> None:
    registry.redirects, registry.ranges = True, ranges
    assert await both(client, registry, tmp_path, KNOWN) is None
    stored = [authorization for path, authorization in registry.authorized if "signature" in path]
    assert stored
    assert set(stored) == {None}


async def test_a_storage_at_a_private_address_is_not_asked(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.redirects = True
    hosts = (f"http://{registry.host}",)
    assert await both(client, registry, tmp_path, hosts=hosts) is Reason.SOURCE_FORBIDDEN
    assert registry.storage.seen == []


async def test_a_registry_that_is_not_listed_is_not_asked(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    assert await both(client, registry, tmp_path, hosts=("ghcr.io",)) is Reason.SOURCE_FORBIDDEN
    assert registry.web.seen == []


@pytest.mark.parametrize("place", ["/manifests/", "/blobs/", "/token"])
async def test_both_say_the_same_of_every_status(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path, place: str
) -> None:
    found = {}
    for status in (400, 401, 403, 404, 408, 410, 418, 429, 451, 500, 502, 503):
        registry.faults = {place: Reply(status, headers={"retry-after": "7"})}
        found[status] = await both(client, registry, tmp_path)
    assert found == {status: reason_of_status(status) for status in found}


async def test_a_private_repository_needs_who_may_pull(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.anonymous, registry.users = False, {"reader": "canary-of-reader"}
    assert await both(client, registry, tmp_path) is Reason.SOURCE_FORBIDDEN
    assert await both(client, registry, tmp_path, {**KNOWN, PASSWORD: SecretStr("x")}) is Reason.SOURCE_FORBIDDEN
    assert await both(client, registry, tmp_path, KNOWN) is None
    basic = [path for path, authorization in registry.authorized if (authorization or "").startswith("Basic")]
    assert set(basic) == {"/token"}


async def test_a_registry_without_a_token_service_is_told_who_asks(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.users, registry.challenge = {"reader": "canary-of-reader"}, 'Basic realm="registry"'
    assert await both(client, registry, tmp_path) is Reason.SOURCE_FORBIDDEN
    assert await both(client, registry, tmp_path, {**KNOWN, PASSWORD: SecretStr("x")}) is Reason.SOURCE_FORBIDDEN
    assert await both(client, registry, tmp_path, KNOWN) is None


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://169.254.169.254/token",service="x"',
        'Bearer realm="https://evil.test/token"',
        'Bearer realm="//127.0.0.1/token"',
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm="http://[::1/token"',
        "Bearer",
        "Negotiate",
        "Bearer realm=" + '"' * 3000,
        "a=" * 3000,
    ],
)
async def test_a_challenge_leads_to_no_server_that_is_not_listed(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path, challenge: str
) -> None:
    registry.challenge = challenge
    assert await both(client, registry, tmp_path, KNOWN) is Reason.SOURCE_FORBIDDEN
    assert registry.scopes == []


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"token":""}', b'{"token":"a\\nb"}', b'{"token":7}', b"[" * 60_000, b"x" * 70_000]
)
async def test_both_say_the_same_of_an_answer_without_a_token(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path, answer: bytes
) -> None:
    registry.token_answer = answer
    wanted = Reason.FILE_TOO_LARGE if len(answer) > 65_536 else Reason.SOURCE_UNAVAILABLE
    assert await both(client, registry, tmp_path) is wanted


async def test_a_token_that_the_registry_does_not_take_is_asked_for_once(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.token_answer = b'{"token":"canary-of-nobody"}'
    assert await both(client, registry, tmp_path) is Reason.SOURCE_FORBIDDEN
    assert registry.count("/token") == 2  # of each, once


async def test_a_token_that_runs_out_on_the_way_is_asked_for_again(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    def forgets(path: str) -> bool:
        if "/manifests/" in path:
            registry.tokens.clear()
        return False

    registry.after = forgets
    assert await both(client, registry, tmp_path) is None


async def test_another_manifest_than_the_one_that_was_asked_for_is_refused(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    digest = registry.tags["acme/loras", "1.0"]
    other = registry.push("acme/loras", "2.0", {WEIGHTS: lora_file(rank=8)})
    registry.manifests[digest] = registry.manifests[other]
    assert await looked(client, registry, f"@{digest}") is Reason.CHECKSUM_MISMATCH
    assert fetched(registry, digest, tmp_path) is Reason.CHECKSUM_MISMATCH


async def test_a_manifest_larger_than_one_can_be_is_not_read(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.put("acme/loras", "1.0", {"layers": [], "annotations": {"x": "x" * (1 << 20)}})
    assert await both(client, registry, tmp_path) is Reason.FILE_TOO_LARGE


async def test_what_is_no_manifest_is_called_so(client: PublicClient, registry: FakeRegistry, tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = [{"layers": [{"digest": "md5:1", "size": 1}]}, {"fsLayers": []}, {"layers": 7}]
    for document in documents:
        registry.put("acme/loras", "1.0", document)
        assert await both(client, registry, tmp_path) is Reason.UNSUPPORTED_FORMAT


async def test_a_layer_of_another_content_than_its_digest_is_refused_by_the_pod(
    client: PublicClient, registry: FakeRegistry, tmp_path: Path
) -> None:
    digest = registry.tags["acme/loras", "1.0"]
    blob = next(d for d, content in registry.blobs.items() if content == lora_file())
    registry.blobs[blob] = bytes(len(lora_file()))
    assert fetched(registry, digest, tmp_path) is Reason.CHECKSUM_MISMATCH
    registry.blobs[blob] = lora_file(rank=8)
    assert await both(client, registry, tmp_path) is Reason.CHECKSUM_MISMATCH
