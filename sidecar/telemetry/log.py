r"""
The application log: what happens to the program, one event a line, on standard error. Requests are in the access log.

    2026-01-31T12:00:00.123Z WARNING sidecar.classifier the classifier keeps failing: not asked for 30 s
    {"time":"2026-01-31T12:00:00.123Z","level":"warning","logger":"sidecar.classifier","message":"the classifier …"}

What may stand in it: trace ids, models, routes, reasons, codes, addresses, durations. What may not: prompts, keys,
session ids. Our own messages are written with that in mind; what others say is not, so:

- Of an exception there is its kind, and where it was raised, by file and line; never its message, which may quote
  anything (`KeyError: 'the prompt'`). The system's word for an error number is no message.
- Of what asyncio and other libraries log there is the first line, up to the first repr in it: asyncio tells of a failed
  task together with the task, and with it the exception that it ended with.

A line break or an escape in a message is written as `\n` or `\x1b`: nobody can write a line of their own. Only the
text form has more than one line to an event, the traceback's.
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator

import msgspec

from sidecar.config.models import LogFormat
from sidecar.errors import SidecarError
from sidecar.telemetry.quoting import one_line
from sidecar.telemetry.rfc3339 import rfc3339

OURS = "sidecar"
WHOLE = (f"{OURS}.", "py.warnings.")
"""Loggers whose messages are written whole: ours, and that of Python's own warnings."""


def set_up(level: str, form: LogFormat = LogFormat.TEXT) -> None:
    """
    `level`: debug, info, warning or error. Python's warnings and whatever nobody caught go the same way. For the
    program only: a library would leave this to its user.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form is LogFormat.JSON else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    # A message that cannot be formatted, or written, would be printed with its arguments.
    logging.raiseExceptions = False
    _catch_what_nobody_caught()


def set_level(level: str) -> None:
    """Another level for all; what was said of single loggers of ours before holds no more."""
    logging.getLogger().setLevel(level.upper())
    for name in logging.getLogger().manager.loggerDict:
        if name == OURS or name.startswith(f"{OURS}."):
            logging.getLogger(name).setLevel(logging.NOTSET)


class Text(logging.Formatter):
    """For people: the traceback below its event, each of its lines indented."""

    def format(self, record: logging.LogRecord) -> str:
        trace = trace_of(record)
        head = f"{rfc3339(record.created)} {record.levelname} {record.name} {one_line(message(record))}"
        return "\n    ".join([head + (f" trace={one_line(trace)}" if trace else ""), *described(record)])


class Event(msgspec.Struct, omit_defaults=True):
    """The keys of a line of JSON, in this order; one that has nothing to say is left out."""

    time: str
    level: str
    """debug, info, warning, error or critical."""
    logger: str
    message: str
    trace: str | None = None
    """The trace of the request it happened to."""
    exception: str | None = None
    """Its kind and traceback, with line breaks as JSON writes them."""


class Json(logging.Formatter):
    """For machines: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        event = Event(
            rfc3339(record.created),
            record.levelname.lower(),
            record.name,
            one_line(message(record)),
            trace_of(record),
            "\n".join(described(record)) or None,
        )
        return msgspec.json.encode(event).decode()


def trace_of(record: logging.LogRecord) -> str | None:
    """What was logged with `extra={"trace": …}`."""
    trace = getattr(record, "trace", None)
    return trace if isinstance(trace, str) else None


def message(record: logging.LogRecord) -> str:
    """As much of the message as may be written down."""
    try:
        said = record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit; what they are is not told
        return str(record.msg)
    if f"{record.name}.".startswith(WHOLE):
        return said
    first = said.partition("\n")[0]
    return first[: min((at for mark in "<(" if (at := first.find(mark)) >= 0), default=len(first))].rstrip()


def described(record: logging.LogRecord) -> list[str]:
    """The lines that tell of the record's exception; none when it has none."""
    exc = record.exc_info[1] if record.exc_info else None
    return [] if exc is None else [line for each in _causes(exc) for line in _lines(each)]


def _lines(exc: BaseException) -> Iterator[str]:
    """As Python prints it, but for the message; the lines of source are those of our files and of libraries."""
    if exc.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        for frame in traceback.format_tb(exc.__traceback__):
            yield from map(one_line, frame.rstrip("\n").split("\n"))
    yield _kind(exc)


def _causes(exc: BaseException) -> list[BaseException]:
    """The chain that led to `exc`, the first cause first."""
    chain: list[BaseException] = []
    each: BaseException | None = exc
    while each is not None and each not in chain:
        chain.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return chain[::-1]


def _kind(exc: BaseException) -> str:
    name = f"{type(exc).__module__}.{type(exc).__qualname__}".removeprefix("builtins.")
    if isinstance(exc, SidecarError):
        return f"{name}: {exc.code}"
    if isinstance(exc, BaseExceptionGroup):
        return f"{name} of {', '.join(_kind(each) for each in exc.exceptions)}"
    return f"{name}: {os.strerror(exc.errno)}" if isinstance(exc, OSError) and exc.errno else name


def _catch_what_nobody_caught() -> None:
    log = logging.getLogger(OURS)

    def told(where: str, exc: BaseException | None) -> None:
        log.critical("nobody caught this: %s", where, exc_info=exc)

    sys.excepthook = lambda _kind, exc, _traceback: told("the program ends", exc)
    threading.excepthook = lambda args: told("a thread ends", args.exc_value)
    sys.unraisablehook = lambda args: told("in a place that cannot raise", args.exc_value)
