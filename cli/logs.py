"""Logs: facts that a person can follow in colour, or JSON lines for a machine.

Promises  a line says when, how bad, what happened and with which facts; nothing secret is a fact;
          other libraries' lines come out in the same form, and none that names a token or a key.
"""

import logging
import os
import sys
from typing import Literal

import structlog

LogFormat = Literal["people", "json"]

_QUIET = {
    # These write whole URLs, in which Telegram and RPC providers carry their keys.
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "telegram": logging.WARNING,
    # It says the same hundreds of times a second while a broker is away; our own lines say it once.
    "aiokafka": logging.CRITICAL,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "websockets": logging.WARNING,
    "uvicorn": logging.WARNING,
    "yoyo": logging.WARNING,
}


def set_up_logs(process: str, form: LogFormat, *, level: int = logging.INFO) -> None:
    """Send everything that this process logs to standard error in the form asked for."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True)
        if form == "json"
        else structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
        structlog.processors.StackInfoRenderer(),
    ]
    last: structlog.typing.Processor
    if form == "json":
        # A frame's variables may hold a token or a key: they are never shown.
        plain = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(plain))
        last = structlog.processors.JSONRenderer()
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() or _forced(),
            pad_event_to=28,
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    handler.addFilter(_is_ours)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, quiet))
    if form == "json":
        structlog.contextvars.bind_contextvars(process=process)


def _is_ours(record: logging.LogRecord) -> bool:
    """Leave out how Faust's inner services start and stop: they speak under our own names."""
    return record.levelno >= logging.WARNING or not str(record.msg).startswith("[^")


def _forced() -> bool:
    """Say whether the one who started us shows our lines on a terminal of its own."""
    return os.environ.get("FORCE_COLOR") == "1"
