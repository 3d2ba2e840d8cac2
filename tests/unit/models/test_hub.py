"""The small Hub, asked by the real `huggingface_hub` client."""

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lorapool_hub.access import Access
from lorapool_hub.app import SmallHub, serving
from lorapool_hub.faults import Fault, FaultKind
from lorapool_hub.server import running

WEIGHTS = bytes(range(256)) * 400
REPO = "lorapool/pixel"
FILE = "pytorch_lora_weights.safetensors"
CARD = """---
base_model: lorapool/shapes-xl
tags: [lora, text-to-image]
license: apache-2.0
instance_prompt: pixel mosaic
---
# pixel
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "adapters" / "pixel"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / FILE).write_bytes(WEIGHTS)
    (folder / "notes").mkdir()
    (folder / "notes" / "training.txt").write_text("rank 4")
    (folder / ".hidden").write_text("not part of it")
    return tmp_path / "root"


@pytest.fixture
def hub(root: Path) -> SmallHub:
    return serving(root)


@pytest.fixture
def url(hub: SmallHub) -> Iterator[str]:
    with running(hub) as url:
        yield url


@pytest.fixture
def api(url: str) -> HfApi:
    return HfApi(endpoint=url, token=False)


def download(url: str, cache: Path, token: str | bool = False, file: str = FILE) -> bytes:
    return Path(hf_hub_download(REPO, file, endpoint=url, cache_dir=cache, token=token)).read_bytes()


# ---- describing ------------------------------------------------------------------------------------------------


def test_model_info_has_the_card_the_commit_and_hashes_of_large_files(api: HfApi) -> None:
    info = api.model_info(REPO, files_metadata=True)
    assert info.card_data is not None
    assert info.card_data.base_model == "lorapool/shapes-xl"
    assert info.tags == ["lora", "text-to-image", "base_model:lorapool/shapes-xl", "license:apache-2.0"]
    assert info.sha is not None
    assert len(info.sha) == 40
    files = {s.rfilename: s for s in info.siblings or []}
    assert set(files) == {"README.md", FILE, "notes/training.txt"}
    assert files[FILE].size == len(WEIGHTS)
    large = files[FILE].lfs
    assert large is not None
    assert large.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert files["README.md"].lfs is None


def test_blob_ids_are_git_s(api: HfApi) -> None:
    (card,) = [s for s in api.model_info(REPO, files_metadata=True).siblings or [] if s.rfilename == "README.md"]
    known = subprocess.run(
        ["git", "hash-object", "--stdin"], input=CARD.encode(), capture_output=True, check=True
    ).stdout
    assert card.blob_id == known.decode().strip()


def test_the_commit_changes_with_the_content(api: HfApi, root: Path) -> None:
    before = api.model_info(REPO).sha
    assert api.model_info(REPO, revision=before).sha == before
    (root / "adapters" / "pixel" / FILE).write_bytes(WEIGHTS + b"more")
    assert api.model_info(REPO).sha != before
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision=before)


def test_tree_lists_one_level_or_all_of_them(api: HfApi) -> None:
    flat = {entry.path for entry in api.list_repo_tree(REPO)}
    assert flat == {"README.md", FILE, "notes"}
    everything = {entry.path for entry in api.list_repo_tree(REPO, recursive=True)}
    assert everything == {"README.md", FILE, "notes", "notes/training.txt"}
    assert [entry.path for entry in api.list_repo_tree(REPO, "notes")] == ["notes/training.txt"]


def test_paths_info_and_the_list_of_models(api: HfApi) -> None:
    (weights,) = api.get_paths_info(REPO, [FILE, "absent"])
    assert weights.path == FILE
    assert [model.id for model in api.list_models(author="lorapool")] == [REPO]
    assert list(api.list_models(search="elsewhere")) == []


def test_what_does_not_exist_is_told_apart(api: HfApi, url: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("lorapool/absent")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v2")
    with pytest.raises(EntryNotFoundError):
        download(url, tmp_path, file="absent.bin")
    assert not api.file_exists(REPO, ".hidden")


# ---- downloading -----------------------------------------------------------------------------------------------


def test_metadata_of_a_file_names_commit_hash_and_size(api: HfApi, url: str) -> None:
    known = get_hf_file_metadata(hf_hub_url(REPO, FILE, endpoint=url), token=False)
    assert known.commit_hash == api.model_info(REPO).sha
    assert known.etag == hashlib.sha256(WEIGHTS).hexdigest()
    assert known.size == len(WEIGHTS)


def test_a_snapshot_is_the_folder(url: str, tmp_path: Path) -> None:
    folder = Path(snapshot_download(REPO, endpoint=url, cache_dir=tmp_path / "cache", token=False))
    assert (folder / FILE).read_bytes() == WEIGHTS
    assert (folder / "notes" / "training.txt").read_text() == "rank 4"


def test_a_range_is_all_that_is_sent(url: str) -> None:
    part = httpx.get(hf_hub_url(REPO, FILE, endpoint=url), headers={"Range": "bytes=8-15"})
    assert part.status_code == 206
    assert part.content == WEIGHTS[8:16]
    assert part.headers["content-range"] == f"bytes 8-15/{len(WEIGHTS)}"
    beyond = httpx.get(hf_hub_url(REPO, FILE, endpoint=url), headers={"Range": f"bytes={len(WEIGHTS)}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_redirect_is_followed_and_its_hash_believed(hub: SmallHub, url: str, tmp_path: Path, elsewhere: bool) -> None:
    hash_ = hashlib.sha256(WEIGHTS).hexdigest()
    with running(hub, host="127.0.0.2") as store:
        location = f"{store}/blobs/{REPO}/{hash_}" if elsewhere else ""
        hub.faults.order(Fault(kind=FaultKind.REDIRECT, file=FILE, location=location))
        assert download(url, tmp_path, token="hf_secret" if elsewhere else False) == WEIGHTS
    assert f"GET /blobs/{REPO}/{hash_}" in hub.asked


# ---- who may see what ------------------------------------------------------------------------------------------


def with_access(hub: SmallHub) -> SmallHub:
    grant = {REPO: frozenset({"hf_owner"})}
    return replace(hub, access=Access(tokens=frozenset({"hf_other"}), private=grant))


def test_a_private_repository_exists_only_for_its_token(hub: SmallHub, tmp_path: Path) -> None:
    with running(with_access(hub)) as url:
        for token in (False, "hf_other"):
            with pytest.raises(RepositoryNotFoundError):
                HfApi(endpoint=url, token=token).model_info(REPO)
            assert list(HfApi(endpoint=url, token=token).list_models(author="lorapool")) == []
        assert HfApi(endpoint=url, token="hf_owner").model_info(REPO).private
        assert download(url, tmp_path, token="hf_owner") == WEIGHTS


def test_an_unknown_token_is_refused(hub: SmallHub) -> None:
    with running(with_access(hub)) as url, pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
        HfApi(endpoint=url, token="hf_expired").model_info(REPO)
    assert caught.value.response.status_code == 401


def test_a_gated_repository_shows_its_card_but_not_its_files(hub: SmallHub, tmp_path: Path) -> None:
    access = Access(tokens=frozenset({"hf_other"}), gated={REPO: frozenset({"hf_granted"})})
    with running(replace(hub, access=access)) as url:
        assert HfApi(endpoint=url, token=False).model_info(REPO).gated == "manual"
        with pytest.raises(GatedRepoError):
            download(url, tmp_path)
        with pytest.raises(GatedRepoError):
            download(url, tmp_path, token="hf_other")
        assert download(url, tmp_path, token="hf_granted") == WEIGHTS


# ---- faults to order -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.NOT_FOUND, 404),
        (FaultKind.UNAUTHORIZED, 401),
        (FaultKind.GATED, 403),
        (FaultKind.RATE_LIMITED, 429),
        (FaultKind.BROKEN, 500),
    ],
)
def test_an_ordered_status_strikes_as_often_as_was_ordered(
    hub: SmallHub, url: str, kind: FaultKind, status: int
) -> None:
    hub.faults.order(Fault(kind=kind, repo="lorapool/pix*", times=2))
    address = f"{url}/api/models/{REPO}"
    assert [httpx.get(address).status_code for _ in range(3)] == [status, status, 200]


def test_a_fault_strikes_only_what_it_names(hub: SmallHub, url: str) -> None:
    hub.faults.order(Fault(kind=FaultKind.BROKEN, file="*.safetensors"))
    assert httpx.get(f"{url}/api/models/{REPO}").status_code == 200
    assert httpx.get(f"{url}/{REPO}/resolve/main/README.md").status_code == 200
    assert httpx.get(f"{url}/{REPO}/resolve/main/{FILE}").status_code == 500


def test_a_download_that_is_cut_is_resumed_by_the_client(hub: SmallHub, url: str, tmp_path: Path) -> None:
    hub.faults.order(
        Fault(kind=FaultKind.CUT, file=FILE, times=2, after_bytes=5000)
    )  # of the HEAD and of the first GET
    assert download(url, tmp_path) == WEIGHTS


def test_a_corrupt_file_has_the_right_size_and_another_hash(hub: SmallHub, url: str) -> None:
    hub.faults.order(Fault(kind=FaultKind.CORRUPT, file=FILE))
    content = httpx.get(f"{url}/{REPO}/resolve/main/{FILE}").content
    assert len(content) == len(WEIGHTS)
    assert sum(a != b for a, b in zip(content, WEIGHTS, strict=True)) == 1


def test_a_slow_answer_outlasts_an_impatient_client(hub: SmallHub, url: str) -> None:
    hub.faults.order(Fault(kind=FaultKind.SLOW, seconds=30, times=1))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{url}/api/models/{REPO}", timeout=0.2)
    assert httpx.get(f"{url}/api/models/{REPO}").status_code == 200


def test_faults_are_ordered_and_cleared_over_http(url: str) -> None:
    ordered = {"kind": "broken", "repo": REPO}
    assert httpx.post(f"{url}/faults", json=ordered).status_code == 204
    assert httpx.get(f"{url}/api/models/{REPO}").status_code == 500
    assert httpx.delete(f"{url}/faults").status_code == 204
    assert httpx.get(f"{url}/api/models/{REPO}").status_code == 200
    assert httpx.post(f"{url}/faults", json={"kind": "sideways"}).status_code == 422


# ---- as a program ----------------------------------------------------------------------------------------------


def test_the_program_serves_a_folder_with_private_repositories(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    models = Path(__file__).parents[3] / "models"
    command = [sys.executable, "-m", "lorapool_hub", "--root", str(root), "--port", str(port)]
    program = subprocess.Popen([*command, "--private", f"{REPO}=hf_owner"], env={"PYTHONPATH": str(models)})
    try:
        api = HfApi(endpoint=f"http://127.0.0.1:{port}", token="hf_owner")
        transport = httpx.HTTPTransport(retries=6)  # connection refused: tried again with growing pauses, 15 s in all
        with httpx.Client(transport=transport) as client:
            assert client.get(f"{api.endpoint}/api/models").json() == []
        assert api.model_info(REPO).private
    finally:
        program.terminate()
        program.wait(timeout=20)
