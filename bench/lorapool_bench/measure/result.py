"""What every bench writes: its figures, the machine, the versions, the day; as JSON that the page is made from."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict

from lorapool_bench.measure.machine import Machine

RESULTS: Final = Path("bench/results")


class Frozen(BaseModel):
    """A part of a result; unknown fields are an error, so that an old file is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Goal(Frozen):
    """What was asked of a figure.

    Attributes:
        key: names it in `notes.yaml`, where a person says why one was missed.
        what: in words.
        at_least: the ratio that was asked for.
        got: the ratio that was measured.
    """

    key: str
    what: str
    at_least: float
    got: float

    @property
    def met(self) -> bool:
        return self.got >= self.at_least


class Result(Frozen):
    """The part that all results have in common.

    Attributes:
        settings: what the bench was asked to do, in words or numbers.
        took_s: the whole bench.
    """

    measured: str
    took_s: float
    machine: Machine
    versions: dict[str, str]
    settings: dict[str, str | int | float]

    def targets(self) -> tuple[Goal, ...]:
        """Computed from the figures; a bench without targets has none."""
        return ()


R = TypeVar("R", bound=Result)


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def write(result: Result, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(result.model_dump_json(indent=2) + "\n")
    return path


def read(kind: type[R], folder: Path, name: str) -> R | None:
    """The result of that name, or None where it was never measured.

    Raises:
        ValidationError: it was written by another version of the bench.
    """
    path = folder / f"{name}.json"
    return kind.model_validate_json(path.read_text()) if path.exists() else None
