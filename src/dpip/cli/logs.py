"""What the processes write to standard error."""

import logging
import sys

import structlog


def write_logs(level: str) -> None:
    """Log from ``level`` on, as readable lines, in colour on a terminal."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level.upper())))
    # nats-py's streams do not know that they are encrypted, and asyncio says so at each close.
    logging.getLogger("asyncio").addFilter(lambda record: "eof_received" not in record.getMessage())
