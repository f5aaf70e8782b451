"""What the processes write to standard error."""

import logging
import sys
from types import TracebackType

import structlog
from structlog.typing import EventDict, WrappedLogger

from dpip.plain_text import plain


def write_logs(level: str) -> None:
    """Log from ``level`` on, as readable lines, in colour on a terminal."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _make_plain,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter(logging.BASIC_FORMAT))
    logging.basicConfig(
        level=max(logging.WARNING, logging.getLevelName(level.upper())), handlers=[handler]
    )
    # nats-py's streams do not know that they are encrypted, and asyncio says so at each close.
    logging.getLogger("asyncio").addFilter(lambda record: "eof_received" not in record.getMessage())


def _make_plain(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep what others have written from steering a terminal, or forging a line of the log."""
    trace = event.pop("exception", None)
    shown = {plain(name): _plain_value(value) for name, value in event.items()}
    return shown if trace is None else {**shown, "exception": _plain_lines(trace)}


def _plain_value(value: object) -> object:
    return value if isinstance(value, int | float | None) else plain(value)


def _plain_lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


class _PlainFormatter(logging.Formatter):
    """The same for what libraries log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return plain(super().formatMessage(record))

    def formatException(  # noqa: N802
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return _plain_lines(super().formatException(ei))
