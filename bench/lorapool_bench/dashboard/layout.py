"""What a dashboard is made of."""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """Grafana's words for units."""

    PLAIN = "short"
    PER_SECOND = "reqps"
    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    HOURS = "h"


@dataclass(frozen=True)
class Query:
    """A query and how its series are called; `{{label}}` is the label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        is_number: shows the last value alone.
        is_stacked: series are parts of a whole.
    """

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    about: str = ""
    is_number: bool = False
    is_stacked: bool = False


@dataclass(frozen=True)
class PanelRow:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
