"""Why something is not as it should be."""

from dataclasses import dataclass

from lorapool_api.kinds.conditions import AnyReason


@dataclass(frozen=True)
class Verdict:
    """Why something is not as it should be: a word for programs, a sentence for people that says what to do."""

    reason: AnyReason
    message: str
