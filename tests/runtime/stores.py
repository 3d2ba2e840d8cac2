"""A fetcher on a folder of its own, and the file that the tests fetch."""

from pathlib import Path

import pytest
from tenacity import wait_none
from tests import files

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.any import FileSource
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import Blob, BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.limits import Write, write_hashed
from lorapool_runtime.sources.origins import SourceRules

CONTENT = files.lora_file()
SHA256 = files.sha256(CONTENT)


class Store:
    """A fetcher on a folder of its own, with the rules that a test wants."""

    def __init__(
        self,
        tmp_path: Path,
        roots: tuple[Path, ...] = (),
        hosts: tuple[str, ...] = (),
        max_bytes: int = 10**6,
        write: Write = write_hashed,
        civitai: str | None = None,
    ) -> None:
        self.cache = tmp_path / "cache"
        rules = SourceRules(tuple(str(r) for r in roots), hosts, max_bytes, civitai_endpoint=civitai)
        self.fetcher = Fetcher(BlobFolder(self.cache), rules, wait=wait_none(), write=write)

    def fetch(self, source: FileSource, **expected: object) -> Blob:
        entry = CatalogEntry.model_validate({"key": "default/a", "source": source, **expected})
        return self.fetcher.fetch(entry, lambda: False)

    def refuse(self, source: FileSource, **expected: object) -> AdapterError:
        """The error of a fetch that must fail, after a look that it left nothing behind."""
        with pytest.raises(AdapterError) as refused:
            self.fetch(source, **expected)
        assert self.left() == []
        return refused.value

    def sidecars(self, source: FileSource) -> Sidecars:
        return self.fetcher.sidecars(CatalogEntry(key="default/a", source=source), AdapterFormat.PEFT)

    def left(self) -> list[str]:
        return [f.name for part in ("blobs", "tmp") for f in (self.cache / part).iterdir()]
