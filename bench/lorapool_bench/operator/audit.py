"""The operator's writes, as the API server's audit log has them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from lorapool_bench.operator.result import Writes

_KINDS: Final = {
    ("loraadapters", ""): "finalizers",
    ("loraadapters", "status"): "statuses",
    ("events", ""): "events",
    ("leases", ""): "lease",
}


def policy(user: str) -> str:
    """Of the API server: nothing but what this user writes."""
    written = {"level": "Metadata", "users": [user], "verbs": ["create", "update", "patch", "delete"]}
    rules = [written, {"level": "None"}]
    made = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return json.dumps(made)


class AuditLog:
    """The log, from where it was read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def writes(self) -> Writes:
        """Since the last call; without those that are asked for and not carried out."""
        with self._path.open("rb") as log:
            log.seek(self._read)
            lines = log.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._read += sum(map(len, whole))
        rows = (json.loads(line) for line in whole)
        counts = Counter(_kind(row) for row in rows if "dryRun=All" not in row["requestURI"])
        return Writes(**counts)


def _kind(row: dict[str, Any]) -> str:
    about = row["objectRef"]
    return _KINDS.get((about["resource"], about.get("subresource", "")), "others")
