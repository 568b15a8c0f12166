"""
Which trace a request belongs to: https://www.w3.org/TR/trace-context/#traceparent-header

    traceparent: 00-<trace id, 32 hex digits>-<parent id, 16>-<flags, 2>
"""

import os
import re
from collections.abc import Mapping

from attrs import frozen

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


@frozen
class Trace:
    trace_id: str
    """32 hex digits; the client's own when it sent a valid `traceparent`."""
    request_id: str
    """The client's own `x-request-id` when it is 1 to 128 visible ASCII characters, else a new one."""
    outgoing: str | None = None
    """The `traceparent` for providers; None when the client's own goes on as it is."""


def trace_of(headers: Mapping[str, str]) -> Trace:
    """What the client sent, or new random ids in its place. A header that is not valid counts as not sent."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace_id = found.group(1) if found else os.urandom(16).hex()
    outgoing = None if found else f"00-{trace_id}-{os.urandom(8).hex()}-00"
    request_id = headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        # A trace of our own is this request's alone, so its id is found in the log by either name.
        request_id = os.urandom(16).hex() if found else trace_id
    return Trace(trace_id, request_id, outgoing)
