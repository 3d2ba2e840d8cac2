"""The last catalog that a pod was given, and what of it was READY, kept in its cache: a restarted container serves on.

Written beside the event loop and at most once a second: catalogs come adapter by adapter, and may have thousands.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from lorapool_api.wire.catalog import Catalog
from lorapool_common.files import write_atomically

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0


@dataclass(frozen=True)
class SavedCatalog:
    """What the next process in this pod starts with.

    Attributes:
        ready: keys of the adapters that could be served.
    """

    catalog: Catalog
    ready: frozenset[str] = frozenset()


class CatalogFile:
    """Two files per pool: pods of several pools may share a cache. Blocking."""

    def __init__(self, cache_dir: Path, pool: str) -> None:
        name = hashlib.sha256(pool.encode()).hexdigest()[:16]
        self._path = cache_dir / "catalogs" / f"{name}.json"
        self._ready_path = cache_dir / "catalogs" / f"{name}.ready.json"
        self._written: tuple[str, frozenset[str]] | None = None

    def read(self) -> SavedCatalog | None:
        """What was kept, or None where there is nothing that can be read."""
        try:
            return SavedCatalog(Catalog.model_validate_json(self._path.read_bytes()), self._ready())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the kept catalog cannot be read; waiting for a new one", error=str(error)[:200])
            return None

    def _ready(self) -> frozenset[str]:
        try:
            keys = json.loads(self._ready_path.read_bytes())
        except (OSError, ValueError):
            return frozenset()
        return frozenset(str(key) for key in keys) if isinstance(keys, list) else frozenset()

    def write(self, kept: SavedCatalog) -> None:
        """Keep it. A cache that cannot be written is no reason to refuse a catalog: it is logged."""
        digest, ready = self._written or ("", frozenset())
        try:
            if kept.catalog.digest != digest:
                # One by one, and not as a whole: the interpreter serves requests between two entries.
                entries = ",".join(entry.model_dump_json() for entry in kept.catalog.entries)
                text = f'{{"digest":{json.dumps(kept.catalog.digest)},"entries":[{entries}]}}'
                write_atomically(self._path, text.encode())
            if kept.ready != ready or self._written is None:
                write_atomically(self._ready_path, json.dumps(sorted(kept.ready)).encode())
        except OSError as error:
            log.warning("the catalog cannot be kept", error=str(error)[:200])
        else:
            self._written = kept.catalog.digest, kept.ready


class CatalogWriter:
    """Keeps the catalog as it changes. Lives on the event loop; writes on a thread."""

    def __init__(
        self,
        last: CatalogFile,
        look: Callable[[], SavedCatalog | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`look` tells what there is to keep; None: nothing yet."""
        self._last = last
        self._look = look
        self._sleep = sleep
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    def changed(self) -> None:
        """What is to be kept may be another than before."""
        self._changed.set()

    async def run(self) -> None:
        """Keep it for ever, until cancelled."""
        while True:
            await self._changed.wait()
            await self.flush()
            await self._sleep(_PAUSE_S)

    async def flush(self) -> None:
        """Return when it is kept as it is now."""
        async with self._writing:
            if not self._changed.is_set():
                return
            self._changed.clear()
            kept = self._look()
            if kept is not None:
                await asyncio.to_thread(self._last.write, kept)
