"""One request for images from its arrival to its end: counted, logged with its reason, and traced, each once."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from lorapool_api.wire.headers import timeline_of
from lorapool_api.wire.reply import GenerateReply
from lorapool_common.observe.tracing import Stage, Tracing, in_turn, now_ns

log = structlog.get_logger(__name__)

OK: Final = "Ok"
CLIENT_GONE: Final = "ClientGone"


class RequestRecords:
    """Makes the records of one process."""

    def __init__(self, pool: str, pod: str, count: Callable[[str], None], tracing: Tracing) -> None:
        """`count` is told the outcome of each request."""
        self.pool = pool
        self.pod = pod
        self.count = count
        self.tracing = tracing

    def begin(self, headers: Mapping[str, str]) -> "RequestRecord":
        """A request with these headers has come."""
        return RequestRecord(self, {name: headers[name] for name in ("traceparent", "tracestate") if name in headers})


class RequestRecord:
    """A request that has no end yet."""

    def __init__(self, records: RequestRecords, parent: Mapping[str, str]) -> None:
        self._records = records
        self._parent = parent
        self._began_ns = now_ns()
        self._made: tuple[GenerateReply, int] | None = None

    def made(self, reply: GenerateReply) -> None:
        """Its images are made and encoded."""
        self._made = reply, now_ns()

    def end(self, outcome: str, error: str = "") -> None:
        """It was answered so; `error`: the sentence that the client got."""
        records, ended_ns = self._records, now_ns()
        records.count(outcome)
        attributes: dict[str, str | int | list[str]] = {"pool": records.pool, "pod": records.pod, "outcome": outcome}
        parts: list[Stage] = []
        if self._made is None:
            log.info("no images made", outcome=outcome, error=error[:500])
        else:
            reply, made_ns = self._made
            adapters = [used.key for used in reply.adapters]
            stages = timeline_of(reply.timings)
            parts = in_turn(stages, made_ns)
            attributes |= {"adapters": adapters, "images": len(reply.images), "base": reply.base}
            taken_s = {f"{name}_s": round(seconds, 4) for name, seconds in stages}
            log.info("images made", adapters=adapters, images=len(reply.images), outcome=outcome, **taken_s)
        whole = Stage("generate", self._began_ns, ended_ns)
        records.tracing.record(whole, self._parent, parts, attributes, None if outcome == OK else outcome)
