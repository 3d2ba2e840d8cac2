"""Content is proved by its sha256 once per process, and not before it is used where an earlier process has noted it."""

from pathlib import Path

import pytest

from lorapool_runtime.sources.blobs import BlobFolder, hash_file

CONTENT = b"weights"


class Hasher:
    """Knows which files were hashed."""

    def __init__(self) -> None:
        self.hashed: list[str] = []

    def __call__(self, path: Path) -> str:
        self.hashed.append(path.name)
        return hash_file(path)


def adopted(root: Path) -> str:
    """The sha256 of a blob that an earlier process has left."""
    blobs = BlobFolder(root)
    with blobs.working_folder() as folder:
        file = folder / "file"
        file.write_bytes(CONTENT)
        return blobs.adopt(file, hash_file(file)).sha256


def test_what_an_earlier_process_noted_is_hashed_once_before_its_first_use(tmp_path: Path) -> None:
    sha256, hasher = adopted(tmp_path), Hasher()
    blobs = BlobFolder(tmp_path, hasher=hasher)
    assert blobs.find(sha256) is not None
    assert hasher.hashed == []
    assert [blobs.prove(sha256) for _ in range(2)] == [True, False]
    assert hasher.hashed == [sha256]


def test_what_was_written_to_since_is_hashed_when_it_is_found_and_goes(tmp_path: Path) -> None:
    sha256, hasher = adopted(tmp_path), Hasher()
    (tmp_path / "blobs" / sha256).write_bytes(b"other weights")
    blobs = BlobFolder(tmp_path, hasher=hasher)
    assert blobs.find(sha256) is None
    assert hasher.hashed == [sha256]
    with pytest.raises(FileNotFoundError):
        blobs.prove(sha256)


def put(blobs: BlobFolder, content: bytes) -> str:
    with blobs.working_folder() as folder:
        file = folder / "file"
        file.write_bytes(content)
        return blobs.adopt(file, hash_file(file)).sha256


def test_files_of_adapters_that_nobody_declared_leave_before_older_ones(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path, bound_bytes=20)
    declared = put(blobs, b"declared!!")
    undeclared = put(blobs, b"undeclared")
    blobs.leave_first(undeclared, is_first=True)
    newest = put(blobs, b"the newest")
    assert [blobs.find(sha256) is not None for sha256 in (declared, undeclared, newest)] == [True, False, True]


def test_a_file_that_somebody_declares_after_all_stays_like_the_others(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path, bound_bytes=20)
    older, newer = put(blobs, b"the oldest"), put(blobs, b"the second")
    blobs.leave_first(newer, is_first=True)
    blobs.leave_first(newer, is_first=False)
    put(blobs, b"the newest")
    assert [blobs.find(sha256) is not None for sha256 in (older, newer)] == [False, True]
