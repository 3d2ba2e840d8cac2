"""What must hold of what a user did: at every moment, and when all has come to rest. No I/O; times are the caller's."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.cluster.operator.faults.specs import Expected

from lorapool_api.kinds.adapter import Adapter

# Of an operator that has just been started: imports, the Lease, the lists, a pass, what pods say to it, and a write.
# With ten times as much to run as the machine has cores that was seen to take 17 s.
LAG_S = 30.0
REASONS = {"model": "NotALora", "missing": "SourceNotFound"}


@dataclass
class Declared:
    """An adapter that somebody made.

    Attributes:
        files: which files it asked for, and since when.
        pool: which one it belongs to.
        gone_s, off_s: since when it is deleted or suspended; None: it is not.
        seen: sha256 of the last answer by it, and when that was asked for.
    """

    pool: str
    files: list[tuple[float, str]]
    gone_s: float | None = None
    off_s: float | None = None
    seen: tuple[str, float] | None = None

    @property
    def file(self) -> str:
        return self.files[-1][1]

    def asked_for(self, sha256s: Mapping[str, str], since_s: float, until_s: float) -> set[str]:
        """sha256 of all files that it asked for at some moment in between."""
        ends = [began for began, _ in self.files[1:]] + [until_s]
        rows = zip(self.files, ends, strict=True)
        return {sha256s[f] for (began, f), end in rows if f in sha256s and began <= until_s and end >= since_s}


@dataclass
class Model:
    """All that was declared.

    Attributes:
        sha256s: of the good files, by their names.
        operator_since_s: when the operator was started that there is. Nobody writes a status while there is none.
    """

    sha256s: Mapping[str, str]
    operator_since_s: float = 0.0
    living: dict[str, Declared] = field(default_factory=dict)
    dead: dict[str, list[Declared]] = field(default_factory=dict)

    # ---- what the user does

    def create(self, name: str, pool: str, file: str, now_s: float) -> None:
        self.living[name] = Declared(pool, [(now_s, file)])

    def edit(self, name: str, file: str, now_s: float) -> None:
        self.living[name].files.append((now_s, file))

    def delete(self, name: str, now_s: float) -> None:
        gone = self.living.pop(name)
        gone.gone_s = now_s
        self.dead.setdefault(name, []).append(gone)

    def suspend(self, name: str, now_s: float | None) -> None:
        self.living[name].off_s = now_s

    # ---- what must hold

    def wrong(self, name: str, sha256: str, asked_s: float, answered_s: float) -> str | None:
        """Why an image of that name, made by that file, must not be; None: it may.

        It is made by the file that the object asks for, or by the one that it was made by before: what was left once
        comes back by an edit alone.
        """
        candidates = [*self.dead.get(name, ()), *([self.living[name]] if name in self.living else ())]
        serving = [d for d in candidates if self._may_serve(d, asked_s)]
        for declared in reversed(serving):
            if self._may_be_made_by(declared, sha256, asked_s, answered_s):
                declared.seen = (sha256, asked_s)
                return None
        return f"{name} is answered by {sha256[:8]} at {asked_s:.1f}; it is {serving or 'not there, or suspended'}"

    def _may_serve(self, declared: Declared, asked_s: float) -> bool:
        """Whether requests that came then may be answered by it: it was there and in service lately."""
        known = (max(s, self.operator_since_s) for s in (declared.gone_s, declared.off_s) if s is not None)
        return all(since > asked_s - LAG_S for since in known)

    def _may_be_made_by(self, declared: Declared, sha256: str, asked_s: float, answered_s: float) -> bool:
        if declared.seen is not None and declared.seen[0] == sha256:
            return True
        since_s = 0.0 if declared.seen is None else declared.seen[1] - LAG_S
        return sha256 in declared.asked_for(self.sha256s, since_s, answered_s)

    def expected(self, found: Mapping[str, Adapter]) -> dict[str, Expected]:
        """At rest. Whether an adapter was ever served before it asked for a bad file, its status knows alone."""
        return {name: self._expected(declared, found.get(name)) for name, declared in self.living.items()}

    def _expected(self, declared: Declared, adapter: Adapter | None) -> Expected:
        served = adapter.status.serving.sha256 if adapter and adapter.status.serving else None
        wanted = self.sha256s.get(declared.file)
        if declared.off_s is not None:
            # What was edited meanwhile takes over when it is in service again and the pods have it.
            return Expected("Suspended", None, served not in (None, wanted))
        if wanted is not None:
            return Expected("Served", wanted)
        was_asked_for = served in {self.sha256s[f] for _, f in declared.files if f in self.sha256s}
        return Expected(REASONS[declared.file], served if was_asked_for else None, served is not None)
