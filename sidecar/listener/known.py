"""
Whether this aiohttp is one that the fast path knows: whether it has what `lean` and `hearing` take of it, by name.
"""

import inspect

from aiohttp import StreamReader, web, web_protocol
from aiohttp.http import HttpRequestParser, RawRequestMessage

TESTED = "3.14"
"""The aiohttp that this was written beside."""

_HANDLER = frozenset(
    (
        "_buffer_paused", "_close", "_current_request", "_drain_helper", "_force_close", "_handler_waiter",
        "_keepalive_handle", "_keepalive_timeout", "_lingering_time", "_loop", "_manager", "_max_msg_queue_size",
        "_messages", "_msg_queue_resume_size", "_next_keepalive_close_time", "_parser", "_pause_reading_for_buffer",
        "_pause_transport_reading", "_paused", "_process_keepalive", "_read_bufsize", "_reading_paused",
        "_request_in_progress", "_resume_reading_if_drained", "_task_handler", "_upgraded", "_waiter", "resume_reading",
    )
)  # fmt: skip
_MESSAGE = frozenset(("method", "path", "version", "headers", "should_close", "upgrade", "url"))
_BODY = frozenset(("_buffer", "_eof", "_exception"))
_MODULE = frozenset(("ERROR", "_ErrInfo"))


def lean_possible(
    handler: type = web.RequestHandler,
    message: type = RawRequestMessage,
    parser: type = HttpRequestParser,
    module: object = web_protocol,
    body: type = StreamReader,
) -> bool:
    """Whether aiohttp has what `LeanConnection` takes from it, by name."""
    return (
        set(dir(handler)) >= _HANDLER
        and inspect.iscoroutinefunction(getattr(handler, "start", None))
        and set(dir(message)) >= _MESSAGE
        and hasattr(parser, "message_consumed")
        and set(dir(module)) >= _MODULE
        and set(dir(body)) >= _BODY
    )
