"""What can go wrong with a Hub, to order: each fault names the requests it strikes and how often."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    """What the client gets."""

    SLOW = "slow"  # the answer, `seconds` later
    NOT_FOUND = "not-found"  # 404, the repository does not exist
    UNAUTHORIZED = "unauthorized"  # 401, the token is not valid
    GATED = "gated"  # 403, the terms were not accepted
    RATE_LIMITED = "rate-limited"  # 429, to be tried again in `seconds`
    BROKEN = "broken"  # 500
    CUT = "cut"  # the connection ends after `after_bytes` of the body
    CORRUPT = "corrupt"  # the right size, but one byte differs
    REDIRECT = "redirect"  # 302 to `location`, or to the Hub's own store of blobs


class Fault(BaseModel):
    """Strikes requests to `repo` (a pattern) about `file` (a pattern; "" stands for model info and listings)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    repo: str = "*"
    file: str = "*"
    times: int | None = Field(default=None, ge=1, description="Unset: until the faults are cleared.")
    seconds: float = Field(default=1.0, ge=0)
    after_bytes: int = Field(default=1024, ge=0)
    location: str = ""

    def strikes(self, repo: str, file: str) -> bool:
        return fnmatchcase(repo, self.repo) and fnmatchcase(file, self.file)


class Faults:
    """The faults that are ordered and not yet used up; the one ordered first strikes first."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def order(self, fault: Fault) -> None:
        self._ordered.append(fault)

    def clear(self) -> None:
        self._ordered.clear()

    def take(self, repo: str, file: str = "") -> Fault | None:
        """The fault that strikes this request, counted as used once."""
        for i, fault in enumerate(self._ordered):
            if fault.strikes(repo, file):
                if fault.times == 1:
                    del self._ordered[i]
                elif fault.times is not None:
                    self._ordered[i] = fault.model_copy(update={"times": fault.times - 1})
                return fault
        return None
