"""The last catalog that a pod was given, and what of it was READY, kept in its cache: a restarted container serves on.

Written beside the event loop and at most once a second: catalogs come adapter by adapter, and may have thousands.
"""

import asyncio
import hashlib
import json
import time
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
# Of its time, and no more: a large catalog that changes all day is kept more rarely.
_SHARE: Final = 0.02


@dataclass(frozen=True)
class SavedCatalog:
    """What the next process in this pod starts with.

    Attributes:
        ready: keys of the adapters that could be served.
        held: keys of those that the pod was to hold; None: all.
        texts: entries that belong to the catalog too, in JSON already.
    """

    catalog: Catalog
    ready: frozenset[str] = frozenset()
    held: frozenset[str] | None = None
    texts: tuple[bytes, ...] = ()


class CatalogFile:
    """Two files per pool: pods of several pools may share a cache. Blocking."""

    def __init__(self, cache_dir: Path, pool: str) -> None:
        name = hashlib.sha256(pool.encode()).hexdigest()[:16]
        self._path = cache_dir / "catalogs" / f"{name}.json"
        self._ready_path = cache_dir / "catalogs" / f"{name}.ready.json"
        self._written: SavedCatalog | None = None

    def read(self) -> SavedCatalog | None:
        """What was kept, or None where there is nothing that can be read."""
        try:
            ready, held = self._keys()
            return SavedCatalog(Catalog.model_validate_json(self._path.read_bytes()), ready, held)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the kept catalog cannot be read; waiting for a new one", error=str(error)[:200])
            return None

    def _keys(self) -> tuple[frozenset[str], frozenset[str] | None]:
        """Of those that were ready, and of those that were held."""
        try:
            kept = json.loads(self._ready_path.read_bytes())
            ready, held = (kept["ready"], kept["held"]) if isinstance(kept, dict) else (kept, None)
            return frozenset(map(str, ready)), None if held is None else frozenset(map(str, held))
        except (OSError, ValueError, TypeError, KeyError):
            return frozenset(), None

    def write(self, kept: SavedCatalog) -> None:
        """Keep it. A cache that cannot be written is no reason to refuse a catalog: it is logged."""
        before = self._written
        try:
            if before is None or kept.catalog.digest != before.catalog.digest:
                # One by one, and not as a whole: the interpreter serves requests between two entries.
                entries = b",".join((*(e.model_dump_json().encode() for e in kept.catalog.entries), *kept.texts))
                digest = json.dumps(kept.catalog.digest).encode()
                write_atomically(self._path, b'{"digest":%b,"entries":[%b]}' % (digest, entries))
            if before is None or (kept.ready, kept.held) != (before.ready, before.held):
                keys = {"ready": sorted(kept.ready), "held": None if kept.held is None else sorted(kept.held)}
                write_atomically(self._ready_path, json.dumps(keys).encode())
        except OSError as error:
            log.warning("the catalog cannot be kept", error=str(error)[:200])
        else:
            self._written = kept


class CatalogWriter:
    """Keeps the catalog as it changes. Lives on the event loop; writes on a thread."""

    def __init__(
        self,
        last: CatalogFile,
        look: Callable[[], SavedCatalog | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look` tells what there is to keep; None: nothing yet."""
        self._last = last
        self._look = look
        self._sleep = sleep
        self._clock = clock
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    def changed(self) -> None:
        """What is to be kept may be another than before."""
        self._changed.set()

    async def run(self) -> None:
        """Keep it for ever, until cancelled."""
        while True:
            await self._changed.wait()
            begin_s = self._clock()
            await self.flush()
            await self._sleep(max(_PAUSE_S, (self._clock() - begin_s) / _SHARE))

    async def flush(self) -> None:
        """Return when it is kept as it is now."""
        async with self._writing:
            if not self._changed.is_set():
                return
            self._changed.clear()
            kept = self._look()
            if kept is not None:
                await asyncio.to_thread(self._last.write, kept)
