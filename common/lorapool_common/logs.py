"""Logs as events with fields: one JSON object a line in a pod, readable on a terminal."""

import logging
import sys

import structlog


def configure(level: str = "INFO", json: bool | None = None) -> None:
    """Set up structlog and the standard library's logging alike.

    Args:
        level: name of the least severe level that is written.
        json: JSON lines; by default wherever standard error is no terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        # First what is dropped: the rest makes a line of it.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        # Its own way to show an exception names what every variable holds: tokens too.
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line per request of these would drown the rest, and their lines hold addresses with queries.
    for chatty in ("httpx", "httpx2", "httpcore", "urllib3", "kopf.activities", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
