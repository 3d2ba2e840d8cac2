"""Files that are replaced in one step."""

import stat
from pathlib import Path

import pytest

from lorapool_common.files import write_atomically


@pytest.mark.parametrize("durable", [True, False])
def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "notes" / "one"
    write_atomically(path, "old, and longer", durable=durable)
    write_atomically(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_atomically(tmp_path / "one", "né")
    assert (tmp_path / "one").read_bytes() == b"n\xc3\xa9"


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "key", "secret")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_what_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(folder, "text")
    assert list(tmp_path.iterdir()) == [folder]
