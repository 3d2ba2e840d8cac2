"""Files from volumes: what is allowed, what is checked, what is left behind."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import files
from tests.runtime.stores import CONTENT, SHA256, Store

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.sources.basic import PathFile
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources import path
from lorapool_runtime.sources.limits import Expected


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "adapters"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(CONTENT)
    return folder


def test_a_file_below_a_root_becomes_a_blob(tmp_path: Path, root: Path) -> None:
    store = Store(tmp_path, (root,))
    blob = store.fetch(PathFile(path=str(root / "a.safetensors")))
    assert (blob.sha256, blob.path.read_bytes()) == (SHA256, CONTENT)
    assert store.left() == [SHA256]


def test_a_file_that_changes_later_changes_nothing(tmp_path: Path, root: Path) -> None:
    blob = Store(tmp_path, (root,)).fetch(PathFile(path=str(root / "a.safetensors")))
    (root / "a.safetensors").write_bytes(b"other")
    assert blob.path.read_bytes() == CONTENT


@pytest.mark.parametrize("named", ["/etc/passwd", "{root}/../secret", "{root}/link", "{root}/folder/secret"])
def test_nothing_outside_of_the_roots_is_read(tmp_path: Path, root: Path, named: str) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    error = Store(tmp_path, (root,)).refuse(PathFile(path=named.format(root=root)))
    assert error.reason is Reason.SOURCE_FORBIDDEN


def test_what_lies_beside_a_file_comes_along(tmp_path: Path, root: Path) -> None:
    store, source = Store(tmp_path, (root,)), PathFile(path=str(root / "a.safetensors"))
    assert store.sidecars(source) == Sidecars()
    (root / "adapter_config.json").write_bytes(b"{}")
    (root / "embeddings.safetensors").write_bytes(b"words")
    assert store.sidecars(source) == Sidecars(b"{}", b"words")


def test_what_lies_beside_a_file_is_bounded_and_within_the_roots(tmp_path: Path, root: Path) -> None:
    store, source = Store(tmp_path, (root,)), PathFile(path=str(root / "a.safetensors"))
    words = root / "embeddings.safetensors"
    words.write_bytes(b"x" * (4 * 2**20 + 1))
    with pytest.raises(AdapterError) as error:
        store.sidecars(source)
    assert error.value.reason is Reason.FILE_TOO_LARGE
    words.unlink()
    words.symlink_to("/etc/hostname")
    with pytest.raises(AdapterError) as error:
        store.sidecars(source)
    assert error.value.reason is Reason.SOURCE_FORBIDDEN


def test_a_link_within_the_roots_is_followed(tmp_path: Path, root: Path) -> None:
    (root / "link.safetensors").symlink_to(root / "a.safetensors")
    assert Store(tmp_path, (root,)).fetch(PathFile(path=str(root / "link.safetensors"))).sha256 == SHA256


def test_a_folder_beside_a_root_with_a_longer_name_is_outside(tmp_path: Path, root: Path) -> None:
    beside = tmp_path / "adapters-of-others"
    beside.mkdir()
    (beside / "a.safetensors").write_bytes(CONTENT)
    error = Store(tmp_path, (root,)).refuse(PathFile(path=str(beside / "a.safetensors")))
    assert error.reason is Reason.SOURCE_FORBIDDEN


def test_a_pod_without_volumes_says_so(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path).refuse(PathFile(path=str(root / "a.safetensors")))
    assert error.reason is Reason.SOURCE_FORBIDDEN
    assert "names no volume" in error.message


def test_a_missing_file_is_not_found_for_good(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path, (root,)).refuse(PathFile(path=str(root / "b.safetensors")))
    assert (error.reason, error.transient) == (Reason.SOURCE_NOT_FOUND, False)


@pytest.mark.timeout(20)
def test_a_named_pipe_holds_nobody(tmp_path: Path, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert Store(tmp_path, (root,)).refuse(PathFile(path=str(root / "pipe"))).reason is Reason.SOURCE_NOT_FOUND


def test_another_sha256_than_pinned_is_refused(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path, (root,)).refuse(PathFile(path=str(root / "a.safetensors")), sha256="0" * 64)
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert SHA256 in error.message
    assert "0" * 64 in error.message


def test_a_file_over_the_limit_is_refused(tmp_path: Path, root: Path) -> None:
    error = Store(tmp_path, (root,), max_bytes=100).refuse(PathFile(path=str(root / "a.safetensors")))
    assert error.reason is Reason.FILE_TOO_LARGE
    assert f"{len(CONTENT)} bytes; the pool takes at most 100" in error.message


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("name", ["folder", "a.safetensors/below", "x" * 300, "/".join(["folder"] * 1000), "socket"])
def test_what_is_no_file_is_not_found_for_good_and_holds_nothing_open(tmp_path: Path, root: Path, name: str) -> None:
    (root / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(root / "socket"))
    store = Store(tmp_path, (root,))
    before = open_files()
    for _ in range(5):
        error = store.refuse(PathFile.model_construct(path=f"{root}/{name}"))
        assert (error.reason, error.transient) == (Reason.SOURCE_NOT_FOUND, False)
        assert len(error.message) < 500
    assert open_files() == before


@dataclass
class Writer:
    """Somebody who writes to the file in place while it is copied, so many times."""

    file: Path
    times: int

    def __call__(self) -> bool:
        if self.times:
            self.times -= 1
            with self.file.open("r+b") as file:
                file.seek(-4, os.SEEK_END)
                file.write(self.times.to_bytes(4, "little"))
            os.utime(self.file, ns=(1, self.times))
        return False


def test_a_file_that_is_written_to_while_it_is_copied_is_copied_again(tmp_path: Path, root: Path) -> None:
    file = root / "a.safetensors"
    sha256 = path.fetch(
        str(file), path.Folders([str(root)]), tmp_path / "copy", Expected(None, None, 10**6), Writer(file, 1)
    )
    assert sha256 == files.sha256(file.read_bytes()) == files.sha256((tmp_path / "copy").read_bytes())


def test_a_file_that_does_not_come_to_rest_is_refused_for_now(tmp_path: Path, root: Path) -> None:
    file = root / "a.safetensors"
    with pytest.raises(AdapterError) as error:
        path.fetch(
            str(file), path.Folders([str(root)]), tmp_path / "copy", Expected(None, None, 10**6), Writer(file, 100)
        )
    assert (error.value.reason, error.value.transient) == (Reason.SOURCE_UNAVAILABLE, True)


def test_what_is_mounted_below_a_root_is_no_part_of_it(tmp_path: Path, root: Path) -> None:
    """A Secret at /adapters/secret, for example."""
    for name in ("secret", "secret/open"):
        (root / name).mkdir()
        (root / name / "a.safetensors").write_bytes(CONTENT)
    (root / "link").symlink_to(root / "secret" / "a.safetensors")
    folders = path.Folders([str(root), str(root / "secret" / "open")], [str(root / "secret")])
    for name in ("a.safetensors", "secret/open/a.safetensors"):
        assert path.real_path(str(root / name), folders) == root / name
    for name in ("secret/a.safetensors", "link", "secret"):
        with pytest.raises(AdapterError) as error:
            path.real_path(str(root / name), folders)
        assert error.value.reason is Reason.SOURCE_FORBIDDEN
