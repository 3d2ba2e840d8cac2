"""The last catalog that a pod was given, kept in its cache so that a restarted container serves on with it."""

import hashlib
from pathlib import Path

import structlog
from pydantic import ValidationError

from lorapool_api.wire.catalog import Catalog
from lorapool_runtime.store.blobs import write_atomically

log = structlog.stdlib.get_logger(__name__)


class LastCatalog:
    """One file per pool: pods of several pools may share a cache."""

    def __init__(self, cache_dir: Path, pool: str) -> None:
        self._path = cache_dir / "catalogs" / f"{hashlib.sha256(pool.encode()).hexdigest()[:16]}.json"

    def read(self) -> Catalog | None:
        """The catalog, or None where there is none that can be read."""
        try:
            return Catalog.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the kept catalog cannot be read; waiting for a new one", error=str(error)[:200])
            return None

    def write(self, catalog: Catalog) -> None:
        """Keep it. A cache that cannot be written is no reason to refuse a catalog: it is logged."""
        try:
            write_atomically(self._path, catalog.model_dump_json().encode())
        except OSError as error:
            log.warning("the catalog cannot be kept", error=str(error)[:200])
