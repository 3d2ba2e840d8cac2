"""An adapter through edits: its status is taken back from pass to pass, as the API server returns it."""

from typing import Any

from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter, AdapterFormat, AdapterStatus, AdapterVersion, CandidateVersion
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.state import AdapterFileFacts, AdapterPhase, AdapterState
from lorapool_operator.seen.resolution import Outcome, Resolution

KEY = "default/pixel"
A, B, C = "a" * 64, "b" * 64, "c" * 64


def on_hub(sha256: str, commit: str | None = None, **more: Any) -> Resolution:
    """What the operator finds for a file of the Hub."""
    revision = commit or sha256[:40]
    known: dict[str, Any] = {"size_bytes": 9, "rank": 4, "targets": 2, "format": AdapterFormat.KOHYA}
    return Resolution(revision=revision, file="x.safetensors", sha256=sha256, **known | more)


def facts(sha256: str) -> AdapterFileFacts:
    return AdapterFileFacts(sha256=sha256, size_bytes=9, rank=4, targets=2, format=AdapterFormat.KOHYA)


def hub(repo: str, revision: str = "main") -> dict[str, Any]:
    return {"hub": {"repo": repo, "revision": revision}}


class Rolling:
    """One adapter and two pods, which say of each entry what a test sets, or else are ready with it."""

    def __init__(self, source: dict[str, Any], outcome: Outcome, **spec: Any) -> None:
        self.spec: dict[str, Any] = {"source": source} | spec
        self.outcome = outcome
        self.generation = 1
        self.refresh: str | None = None
        self.status = AdapterStatus()
        self.entries: dict[str, CatalogEntry] = {}
        self.says: dict[str, AdapterState] = {}
        self.pods: tuple[str, ...] = ("a", "b")
        self.pool: Pool | None = op.pool()
        self.now_s = 0.0

    @property
    def adapter(self) -> Adapter:
        annotations = {} if self.refresh is None else {REFRESH_ANNOTATION: self.refresh}
        metadata = {"generation": self.generation, "annotations": annotations}
        return make.adapter(metadata=metadata, **self.spec).model_copy(update={"status": self.status})

    def edit(self, outcome: Outcome, **spec: Any) -> None:
        self.spec, self.outcome, self.generation = self.spec | spec, outcome, self.generation + 1

    def step(self) -> AdapterStatus:
        """A pass: pods say what they know of the entries that they were told in the pass before."""
        said = {name: self._report(name) for name in self.pods}
        seen = op.seen(self.adapter, pool=self.pool, reports=said, outcome=self.outcome, now=op.at(self.now_s))
        status = op.statuses(seen)[KEY]
        self.entries = {entry.key: entry for entry in op.checked(seen)[KEY].entries}
        # As it is read back.
        self.status = AdapterStatus.model_validate(status.manifest())
        assert self.status == status
        return status

    def settle(self) -> AdapterStatus:
        """Passes until nothing changes any more."""
        for _ in range(10):
            before = self.status, self.entries
            self.step()
            if (self.status, self.entries) == before:
                return self.status
        raise AssertionError("it never comes to rest")

    def _report(self, pod: str) -> Any:
        states = {
            key: self.says.get(f"{pod} {key}", self.says.get(key, op.state(generation=entry.generation)))
            for key, entry in self.entries.items()
        }
        moved = {key: s.model_copy(update={"generation": self.entries[key].generation}) for key, s in states.items()}
        return op.report().__class__(True, "d", op.WARM, moved)

    @property
    def serving(self) -> AdapterVersion:
        assert self.status.serving is not None
        return self.status.serving

    @property
    def candidate(self) -> CandidateVersion:
        assert self.status.candidate is not None
        return self.status.candidate


def loading(sha256: str | None = None) -> AdapterState:
    return op.state(AdapterPhase.LOADING, facts=facts(sha256) if sha256 else None)


def condition(it: Rolling, type_: str) -> tuple[str, str]:
    """(status, reason) of that condition."""
    found = op.condition(it.status.conditions, type_)
    return found.status, found.reason
