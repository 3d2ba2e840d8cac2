"""On what terms a request waits."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class QueueTerms:
    """Attributes:
    caller: who sent it: those of one caller wait for each other. Empty: nobody says.
    priority: the higher, the sooner.
    deadline_s: on the queue's clock; after it nobody wants the answer. None: as the pool has it.
    """

    caller: str = ""
    priority: int = 0
    deadline_s: float | None = None


NO_TERMS: Final = QueueTerms()
