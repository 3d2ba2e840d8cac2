"""What was found, of one thing."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WAIT = "wait"  # it is on its way, and nobody has to do anything
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Diagnosis:
    """One line of the report.

    Attributes:
        about: a kind and a name, or a part of the installation.
        what: what was found, in a sentence.
        remedy: what to do; empty where nothing is to be done.
    """

    level: Severity
    about: str
    what: str
    remedy: str = ""

    @property
    def is_trouble(self) -> bool:
        return self.level in (Severity.WARNING, Severity.ERROR)


def good(about: str, what: str) -> Diagnosis:
    return Diagnosis(Severity.OK, about, what)


def wrong(about: str, what: str, remedy: str) -> Diagnosis:
    return Diagnosis(Severity.ERROR, about, what, remedy)
