"""What a checker says of one picture."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, StrictBool


class VerdictOutcome(StrEnum):
    """What came of one picture's check."""

    SAFE = "safe"
    REFUSED = "refused"
    FAILED = "failed"


class SafetyVerdict(BaseModel):
    """What a checker answers; what else it says is nobody's here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    safe: StrictBool
    reason: str = ""

    @property
    def outcome(self) -> VerdictOutcome:
        return VerdictOutcome.SAFE if self.safe else VerdictOutcome.REFUSED


class NoVerdict(Exception):
    """The checker was not reached, took too long, or answered something else; the text says what, without its URL."""
