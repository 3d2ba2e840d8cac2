"""The kept catalog: written beside the event loop, not at each change, and whole at the end."""

import asyncio
from pathlib import Path

from tests.unit.runtime.catalog.bench import entry

from lorapool_api.wire.catalog import Catalog
from lorapool_runtime.catalog.saved import CatalogFile, CatalogWriter, SavedCatalog


class Slow(CatalogFile):
    """Counts what is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "default/shapes")
        self.writes = 0

    def write(self, kept: SavedCatalog) -> None:
        self.writes += 1
        super().write(kept)


async def test_a_thousand_changes_are_a_few_writes_and_the_last_one_is_kept(tmp_path: Path) -> None:
    last, now = Slow(tmp_path), SavedCatalog(Catalog.of(()))
    may_go_on = asyncio.Event()

    async def pause(_: float) -> None:
        await may_go_on.wait()

    writer = CatalogWriter(last, lambda: now, pause)
    writing = asyncio.create_task(writer.run())
    for i in range(1000):
        now = SavedCatalog(Catalog.of([entry(f"a{i}")]), frozenset({f"default/a{i}"}))
        writer.changed()
        await asyncio.sleep(0)
    await writer.flush()
    writing.cancel()
    assert last.writes <= 2
    assert last.read() == now


def test_what_is_kept_comes_back_and_what_is_damaged_does_not(tmp_path: Path) -> None:
    catalog = Catalog.of([entry("one", pin=True), entry("two")])
    kept = SavedCatalog(catalog, frozenset({"default/two"}), frozenset({"default/one"}))
    CatalogFile(tmp_path, "default/shapes").write(kept)
    assert CatalogFile(tmp_path, "default/shapes").read() == kept
    assert CatalogFile(tmp_path, "default/other").read() is None
    for file in (tmp_path / "catalogs").glob("*.ready.json"):
        file.write_text("{")
    assert CatalogFile(tmp_path, "default/shapes").read() == SavedCatalog(kept.catalog)


def test_what_an_earlier_version_kept_means_that_all_are_held(tmp_path: Path) -> None:
    kept = SavedCatalog(Catalog.of([entry("one")]), frozenset({"default/one"}), frozenset())
    CatalogFile(tmp_path, "default/shapes").write(kept)
    (file,) = (tmp_path / "catalogs").glob("*.ready.json")
    file.write_text('["default/one"]')
    assert CatalogFile(tmp_path, "default/shapes").read() == SavedCatalog(kept.catalog, kept.ready, None)
