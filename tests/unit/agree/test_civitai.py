"""One version of a model, one reason: the operator's look and the pods' download say the same of Civitai's answers."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.artifacts.civitai import CivitaiRelease, CivitaiUpload, FakeCivitai, civitai_serving
from tests.files import lora_file
from tests.unit.agree.artifacts import agreed

from lorapool_api.fetch.policy import SourceRefused, reason_of_status
from lorapool_api.kinds.artifacts import CivitaiSource
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.sources.artifacts import CivitaiFile
from lorapool_operator.sources.artifacts.civitai import CivitaiClient
from lorapool_operator.sources.artifacts.found import FoundFile
from lorapool_operator.sources.http import PublicClient
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.artifacts.civitai import CivitaiDownload
from lorapool_runtime.sources.limits import Expected, write_hashed

VERSION = 368189
NAME = "Pixel Art XL v1.safetensors"
TOKEN = SecretStr("canary-of-account")


@pytest.fixture
def civitai() -> Iterator[FakeCivitai]:
    with civitai_serving() as it:
        it.versions[VERSION] = CivitaiRelease([CivitaiUpload(7, NAME, lora_file())])
        it.tokens = {TOKEN.get_secret_value()}
        yield it
        assert "canary" not in " ".join(it.shown)


@pytest.fixture
async def client() -> AsyncIterator[PublicClient]:
    async with PublicClient() as it:
        yield it


async def looked(
    client: PublicClient, civitai: FakeCivitai, token: SecretStr | None = None, file: str | None = None
) -> FoundFile | Reason:
    source = CivitaiSource(model_version=VERSION, file=file)
    try:
        return await CivitaiClient(client, civitai.url, civitai.listed).find(source, token)
    except (SourceRefused, FactsError) as error:
        civitai.shown.append(error.message)
        return error.reason


def fetched(civitai: FakeCivitai, folder: Path, token: SecretStr | None = None, file: str = NAME) -> bytes | Reason:
    try:
        source = CivitaiFile(version=VERSION, file=file)
        it = CivitaiDownload(source, civitai.listed, civitai.url, token)
        it.fetch(folder / "file", Expected(None, None, 10**6), lambda: False, write_hashed)
    except AdapterError as error:
        civitai.shown.append(error.message)
        return error.reason
    return (folder / "file").read_bytes()


async def both(
    client: PublicClient,
    civitai: FakeCivitai,
    folder: Path,
    token: SecretStr | None = None,
    file: str | None = None,
) -> Reason | None:
    """What both say of the file; None: it is there."""
    found, got = await looked(client, civitai, token, file), fetched(civitai, folder, token, file or NAME)
    return agreed(found, got, str(VERSION), file or NAME)


async def test_a_version_is_a_file_with_its_sha256(client: PublicClient, civitai: FakeCivitai, tmp_path: Path) -> None:
    assert await both(client, civitai, tmp_path) is None
    found = await looked(client, civitai)
    assert not isinstance(found, Reason)
    assert found.sha256 is not None
    assert found.sha256 == found.sha256.lower()
    assert found.words == ("pixel", "art style")


async def test_a_gated_file_needs_a_token_which_only_civitai_gets(
    client: PublicClient, civitai: FakeCivitai, tmp_path: Path
) -> None:
    release = civitai.versions[VERSION]
    for release.gated, release.by_login in ((True, False), (True, True)):
        assert await both(client, civitai, tmp_path) is Reason.SOURCE_FORBIDDEN
        assert "tokenSecretRef" in civitai.shown[-1]
        assert await both(client, civitai, tmp_path, SecretStr("canary-of-nobody")) is Reason.SOURCE_FORBIDDEN
        assert await both(client, civitai, tmp_path, TOKEN) is None
    at_storage = {authorization for path, authorization in civitai.authorized if "X-Amz" in path}
    assert at_storage == {None}


async def test_a_mirror_is_asked_for_the_files_too(client: PublicClient, civitai: FakeCivitai, tmp_path: Path) -> None:
    """Its copies of descriptions name the original."""
    civitai.origin = "https://civitai.com"
    civitai.versions[VERSION].files.append(CivitaiUpload(8, "other.safetensors", lora_file(), primary=False))
    assert await both(client, civitai, tmp_path, TOKEN) is None
    assert await both(client, civitai, tmp_path, TOKEN, file="other.safetensors") is None


async def test_a_description_that_leads_elsewhere_gets_no_token_there(
    client: PublicClient, civitai: FakeCivitai, tmp_path: Path
) -> None:
    civitai.origin = civitai.storage.url
    assert await both(client, civitai, tmp_path, TOKEN) is Reason.SOURCE_NOT_FOUND
    assert {authorization for path, authorization in civitai.authorized if "/api/download" in path} == {None}


@pytest.mark.parametrize("origin", ["http://169.254.169.254", "ftp://x", "http://[::1"])
async def test_a_description_leads_to_no_private_address(
    client: PublicClient, civitai: FakeCivitai, tmp_path: Path, origin: str
) -> None:
    civitai.origin = origin
    assert await both(client, civitai, tmp_path, TOKEN) is Reason.SOURCE_FORBIDDEN


async def test_both_say_the_same_of_every_status(client: PublicClient, civitai: FakeCivitai, tmp_path: Path) -> None:
    found = {}
    for status in (400, 401, 403, 404, 408, 410, 418, 429, 451, 500, 502, 503, 524):
        civitai.status, civitai.headers = status, {"retry-after": "7"}
        found[status] = await both(client, civitai, tmp_path)
    assert found == {status: reason_of_status(status) for status in found}


async def test_what_it_asks_to_wait_is_honoured(client: PublicClient, civitai: FakeCivitai) -> None:
    civitai.status, civitai.headers = 429, {"retry-after": "7"}
    with pytest.raises(SourceRefused) as refused:
        await CivitaiClient(client, civitai.url, ()).find(CivitaiSource(model_version=VERSION))
    assert refused.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "Checkpoint"}, Reason.NOT_A_LORA),
        ({"type": "TextualInversion"}, Reason.NOT_A_LORA),
        ({"type": "LoCon"}, None),
        ({"type": "DoRA"}, None),
        ({"usage": "InternalGeneration"}, Reason.SOURCE_FORBIDDEN),
        ({"files": []}, Reason.SOURCE_NOT_FOUND),
        ({"files": [CivitaiUpload(7, NAME, lora_file(), format="PickleTensor")]}, Reason.UNSUPPORTED_FORMAT),
        ({"files": [CivitaiUpload(7, NAME, lora_file(), sha256="0" * 64)]}, Reason.CHECKSUM_MISMATCH),
        ({"files": [CivitaiUpload(7, NAME, lora_file(), sha256="no hash")]}, None),
        ({"files": [CivitaiUpload(7, NAME, lora_file(), sha256=None)]}, None),
    ],
)
async def test_a_release_is_judged_alike(
    client: PublicClient, civitai: FakeCivitai, tmp_path: Path, change: dict[str, object], reason: Reason | None
) -> None:
    civitai.versions[VERSION] = CivitaiRelease(**{"files": [CivitaiUpload(7, NAME, lora_file())], **change})  # type: ignore[arg-type]
    if reason is Reason.CHECKSUM_MISMATCH:  # nobody but the pod reads the file
        assert fetched(civitai, tmp_path) is reason
        return
    assert await both(client, civitai, tmp_path) is reason


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"id":"x"}', b"[" * 100_000, b'{"id":1,"files":[{}]}'])
async def test_what_is_no_description_is_no_verdict_on_the_adapter(
    client: PublicClient, civitai: FakeCivitai, tmp_path: Path, body: bytes
) -> None:
    civitai.body = body
    assert await both(client, civitai, tmp_path) is Reason.SOURCE_UNAVAILABLE


async def test_what_a_description_leaves_out_is_not_known(client: PublicClient, civitai: FakeCivitai) -> None:
    nothing: dict[str, None] = dict.fromkeys(("modelId", "usageControl", "trainedWords"))
    file = {
        "id": 7,
        "name": NAME,
        "type": "Model",
        "metadata": {"format": "SafeTensor"},
        "hashes": None,
        "primary": None,
    }
    for address, reason in ((None, Reason.SOURCE_FORBIDDEN), (f"{civitai.url}/api/download/models/{VERSION}", None)):
        files = [{**file, "downloadUrl": address}]
        civitai.body = json.dumps({"id": VERSION, "model": {"type": "LORA"}, "files": files, **nothing}).encode()
        found = await looked(client, civitai)
        assert found is reason if reason else isinstance(found, FoundFile) and found.sha256 is None


async def test_a_description_larger_than_one_can_be_is_not_read(
    client: PublicClient, civitai: FakeCivitai, tmp_path: Path
) -> None:
    civitai.body = b'{"id":1,"x":"' + b"x" * (4 << 20) + b'"}'
    assert await both(client, civitai, tmp_path) is Reason.FILE_TOO_LARGE
