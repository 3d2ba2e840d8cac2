"""A cache folder that cannot be written is said in one sentence, with what to do."""

import os
from pathlib import Path

import pytest

from lorapool_runtime.errors import CacheUnusable
from lorapool_runtime.store.folder import check_writable


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "cache")
    assert list((tmp_path / "a" / "cache").iterdir()) == []


def test_what_is_wrong_names_the_folder_the_user_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file, and no folder")
    with pytest.raises(CacheUnusable) as refused:
        check_writable(tmp_path / "cache" / "of-the-pod")
    (line,) = str(refused.value).splitlines()
    assert str(tmp_path / "cache" / "of-the-pod") in line
    assert f"user {os.geteuid()}" in line
    assert "emptyDir" in line
