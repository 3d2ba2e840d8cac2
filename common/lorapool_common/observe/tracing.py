"""Traces, as the parts make them: nothing at all unless somebody wants them.

What a span may say is an `Attribute`: names, counts and reasons. Never a prompt, a token, a key or a picture.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

# OpenTelemetry's own variable: where spans are sent to. Without it there are none.
ENDPOINT_ENV: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACEPARENT: Final = "traceparent"
_NS: Final = 1_000_000_000

Attribute = str | int | float | bool | Sequence[str]
Headers = Mapping[str, str]


class Role(Enum):
    """Which side of a call a span is."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """A span that is open."""

    def set(self, **attributes: Attribute) -> None: ...

    def fail(self, why: str) -> None:
        """It did not succeed; one word or a short sentence."""


@dataclass(frozen=True)
class Stage:
    """A part of a finished piece of work, from one time of day to another, in nanoseconds."""

    name: str
    began_ns: int
    ended_ns: int


class Tracing(Protocol):
    """Makes spans."""

    def span(
        self, name: str, role: Role, parent: Headers | None = None, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        """A span around a block of code, below the one that is open; `parent` are the headers of a request instead."""

    def record(
        self,
        whole: Stage,
        parent: Headers,
        parts: Sequence[Stage],
        attributes: Mapping[str, Attribute],
        failure: str | None = None,
    ) -> None:
        """A span of what is over, with its parts; `parent`: the headers of the request that it was for."""

    def headers(self) -> Headers:
        """What tells another process of the span that is open: W3C's `traceparent`; empty where none is."""

    def close(self) -> None:
        """Send what is left. Takes a few seconds at most."""


class _NoSpan:
    """Takes no notice."""

    def set(self, **attributes: Attribute) -> None: ...

    def fail(self, why: str) -> None: ...


_NO_SPAN: Final = _NoSpan()


_NO_CONTEXT: Final = nullcontext(_NO_SPAN)


class NoTracing:
    """Nobody wants traces."""

    def span(
        self, name: str, role: Role, parent: Headers | None = None, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        return _NO_CONTEXT

    def record(
        self,
        whole: Stage,
        parent: Headers,
        parts: Sequence[Stage],
        attributes: Mapping[str, Attribute],
        failure: str | None = None,
    ) -> None: ...

    def headers(self) -> Headers:
        return {}

    def close(self) -> None: ...


NO_TRACING: Final[Tracing] = NoTracing()


def tracing_for(service: str, endpoint: str | None) -> Tracing:
    """What sends spans of this service to the endpoint; the libraries for that are imported only where there is one."""
    if not endpoint:
        return NO_TRACING
    os.environ.setdefault(ENDPOINT_ENV, endpoint)
    from lorapool_common.observe.otel import OpenTelemetry

    return OpenTelemetry.exporting(service)


def in_turn(stages: Sequence[tuple[str, float]], ended_ns: int) -> list[Stage]:
    """Stages that followed each other, the last one until that moment; (name, seconds) of each."""
    found = []
    for name, seconds in reversed(stages):
        began_ns = ended_ns - int(seconds * _NS)
        found.append(Stage(name, began_ns, ended_ns))
        ended_ns = began_ns
    return found[::-1]


def now_ns() -> int:
    """The time of day, as spans have it."""
    return time.time_ns()
