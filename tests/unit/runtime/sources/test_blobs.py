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
