"""Traces that stay in memory."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lorapool_common.observe.otel import OpenTelemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


class Recorded:
    """A tracing, and what it made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = OpenTelemetry("test", SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """In the order in which they ended."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def below(self, span: ReadableSpan) -> list[ReadableSpan]:
        """Its children, in the order in which they began."""
        found = [child for child in self.spans if ids(child)[1] == traceparent(span).split("-")[2]]
        return sorted(found, key=lambda child: child.start_time or 0)

    def words(self) -> str:
        """All that they say."""
        return " ".join(span.to_json() for span in self.spans)


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """(trace, parent) in hexadecimal."""
    parent = span.parent
    return traceparent(span).split("-")[1], None if parent is None else f"{parent.span_id:016x}"


def traceparent(span: ReadableSpan) -> str:
    """W3C's header for what is below it."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
