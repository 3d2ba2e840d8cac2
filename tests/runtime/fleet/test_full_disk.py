"""A disk that fills up while another pod's file comes in: nothing of it stays, and it is had when there is room."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import files

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.limits import Expected
from lorapool_runtime.sources.origins import SourceRules

CONTENT = files.lora_file()
ENTRY = CatalogEntry(key="default/a", source=UrlFile(url="http://127.0.0.1:1/a"), sha256=files.sha256(CONTENT))


@dataclass
class PeerOnADisk:
    """Gives the file, as far as the disk has room."""

    room_bytes: int

    @property
    def sidecars(self) -> Sidecars:
        return Sidecars()

    def fetch(self, target: Path, expected: Expected, cancelled: Callable[[], bool]) -> str:
        target.write_bytes(CONTENT[: self.room_bytes])
        if self.room_bytes < len(CONTENT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return files.sha256(CONTENT)


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    fetcher = Fetcher(BlobFolder(tmp_path), SourceRules((), (), 1 << 20))
    with pytest.raises(AdapterError, match="No space left") as error:
        fetcher.fetch(ENTRY, lambda: False, PeerOnADisk(100))
    assert (error.value.reason, error.value.transient) == (Reason.POD_FAILED, True)
    assert list((tmp_path / "blobs").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    blob = fetcher.fetch(ENTRY, lambda: False, PeerOnADisk(len(CONTENT)))
    assert blob.path.read_bytes() == CONTENT
