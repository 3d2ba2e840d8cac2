"""Runs calls of the store's hub source in a process of its own: the library reads HF_ENDPOINT when imported.

Reads a JSON object a line: what to do, the cache folder, arguments. Answers with one: what came, or the error.
"""

import json
import sys
from pathlib import Path

import structlog
from pydantic import SecretStr

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.sources import HubSource
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.basic import HubFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.settings import prepare_environment


def answer(what: str, cache: Path, arguments: dict[str, object]) -> dict[str, object]:
    from tenacity import wait_none

    from lorapool_runtime.sources.blobs import BlobFolder
    from lorapool_runtime.sources.fetch import Fetcher
    from lorapool_runtime.sources.hub import resolve
    from lorapool_runtime.sources.origins import SourceRules

    fetcher = Fetcher(BlobFolder(cache), SourceRules((), (), 10**6), wait=wait_none())
    try:
        if what == "resolve":
            return resolve(HubSource.model_validate(arguments)).model_dump(exclude_none=True)
        known = {name: arguments[name] for name in ("sha256", "alone") if name in arguments}
        source = HubFile.model_validate(arguments["source"])
        entry = CatalogEntry.model_validate({"key": "default/a", "source": source, **known})
        if what == "beside":
            beside = fetcher.sidecars(entry, AdapterFormat.PEFT)
            found = {"config": beside.peft_config, "embeddings": beside.embeddings}
            return {name: content and content.decode() for name, content in found.items()}
        given = arguments.get("token")
        blob = fetcher.fetch(entry, lambda: False, credentials={"token": SecretStr(str(given))} if given else None)
    except AdapterError as error:
        return {"reason": error.reason, "message": error.message, "transient": error.transient}
    left = [str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file() and p.suffix == ".safetensors"]
    return {"sha256": blob.sha256, "left": left}


if __name__ == "__main__":
    prepare_environment(Path(sys.argv[1]))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(asked["what"], Path(asked["cache"]), asked["arguments"])), flush=True)
