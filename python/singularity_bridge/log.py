"""Structured logs on stderr: one line an event, for people (console) or for machines (json)."""

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["console", "json"]


def configure(log_format: LogFormat, level: str) -> None:
    """Set the format and the lowest level ("debug", "info", "warning", "error") of all log lines."""
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _quiet_libraries(level)


def _quiet_libraries(level: str) -> None:
    """Keep the libraries' own lines out: every retry would be one, and the bridge says the same once."""
    logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
    for name in ("nats", "psycopg", "asyncio"):
        logging.getLogger(name).setLevel(logging.INFO if level == "debug" else logging.CRITICAL)
