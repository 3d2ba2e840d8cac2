"""Traces by OpenTelemetry. Imported only where they are wanted.

Where to, how often and with which headers is said by OpenTelemetry's own variables, which its exporter and sampler
read: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG,
OTEL_RESOURCE_ATTRIBUTES.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lorapool_common.observe.collectors import installed_version
from lorapool_common.observe.tracing import Attribute, Headers, Role, Span, Stage

_W3C: Final = TraceContextTextMapPropagator()
_KINDS: Final = {Role.SERVER: SpanKind.SERVER, Role.CLIENT: SpanKind.CLIENT, Role.INTERNAL: SpanKind.INTERNAL}


class OpenTelemetry:
    """See `tracing.Tracing`."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        resource = Resource.create({"service.name": service, "service.version": installed_version()})
        # Its own hook at the end of the process would wait for an endpoint that is away: `close` is bounded.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("lorapool", installed_version())

    @classmethod
    def exporting(cls, service: str) -> Self:
        """Spans go to the endpoint in batches, from a thread of their own; what it does not take in time is dropped."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls(service, BatchSpanProcessor(OTLPSpanExporter(timeout=3)))

    @contextmanager
    def span(self, name: str, role: Role, parent: Headers | None = None, **attributes: Attribute) -> Iterator[Span]:
        context = None if parent is None else _context(parent)
        kind, about = _KINDS[role], _attributes(attributes)
        # The text of an exception may hold a client's words: what is wrong is said by `fail`.
        with self._tracer.start_as_current_span(
            name, context, kind, about, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _OpenSpan(span)

    def record(
        self,
        whole: Stage,
        parent: Headers,
        parts: Sequence[Stage],
        attributes: Mapping[str, Attribute],
        failure: str | None = None,
    ) -> None:
        span = self._tracer.start_span(
            whole.name, _context(parent), SpanKind.SERVER, _attributes(attributes), start_time=whole.began_ns
        )
        if failure is not None:
            span.set_status(Status(StatusCode.ERROR, failure))
        within = trace.set_span_in_context(span, Context())
        for part in parts:
            self._tracer.start_span(part.name, within, start_time=part.began_ns).end(part.ended_ns)
        span.end(whole.ended_ns)

    def headers(self) -> Headers:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier

    def close(self) -> None:
        self._provider.shutdown()


class _OpenSpan:
    """See `tracing.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: Attribute) -> None:
        self._span.set_attributes(_attributes(attributes))

    def fail(self, why: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, why))


def _context(parent: Headers) -> Context:
    """Of the span that a request's headers name; without one a new trace begins."""
    return _W3C.extract({name.lower(): text for name, text in parent.items()}, Context())


def _attributes(given: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """Under names of ours: `images` is `lorapool.images`."""
    return {f"lorapool.{name}": value for name, value in given.items()}
