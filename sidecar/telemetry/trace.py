"""
Which trace a request belongs to, and whether spans are made of it.

    traceparent: <version>-<trace id, 32 hex digits>-<parent id, 16>-<flags, 2>

The header is that of https://www.w3.org/TR/trace-context-1/#traceparent-header. Whoever begins a trace decides whether
it is sampled: the client's flag where it sent one, else `tracing.random_sampling` per cent of our own. `tracestate`
is never looked at; it goes on as any other header does.
"""

import os
import re
from collections.abc import Mapping

from attrs import define, field
from msgspec import Struct

# A version after 00 may have more fields, and is read as far as it is known. There is no version ff.
_TRACEPARENT = re.compile(
    r"(?:00|(?!ff|00)[0-9a-f]{2}(?P<later>))"
    r"-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?(later)(?:-.*)?)"
)
_SAMPLED = 0x01
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_IDS_BYTES = 24
"""A trace id and a span id."""
_AT_ONCE = 64
_HALVES = 1 << 64
"""How many lower halves of a trace id there are."""


class Trace(Struct, frozen=True, gc=False):
    trace_id: str
    """32 hex digits; the client's own when it sent a valid `traceparent`."""
    request_id: str
    """The client's own `x-request-id` when it is 1 to 128 visible ASCII characters, else a new one."""
    outgoing: str | None = None
    """The `traceparent` for providers where no span is made; None when the client's own goes on as it is."""
    span_id: str = ""
    """Of the request's own span, 16 hex digits; empty when the request is not traced."""
    parent_id: str | None = None
    """The client's span, when it sent one."""

    @property
    def sampled(self) -> bool:
        """Whether spans are made of this request."""
        return bool(self.span_id)

    def attempt(self) -> tuple[str, str | None]:
        """
        For one attempt at a provider: the id of its span, and the `traceparent` that names that span as the parent of
        the provider's own. The id is empty when the request is not traced; the `traceparent` is None when the
        client's own goes on as it is.
        """
        if not self.span_id:
            return "", self.outgoing
        span_id = os.urandom(8).hex()
        return span_id, f"00-{self.trace_id}-{span_id}-01"


def _random_ids() -> list[str]:
    """
    Each of 48 hex digits, for once. To ask the system for each would take half a microsecond more. Processes that are
    forked with some of these would give the same ids; ours are started anew.
    """
    digits = os.urandom(_IDS_BYTES * _AT_ONCE).hex()
    return [digits[start : start + 2 * _IDS_BYTES] for start in range(0, len(digits), 2 * _IDS_BYTES)]


@define(eq=False)
class Traces:
    """Gives every request its trace."""

    random_sampling: float = 0.0
    """Per cent of the traces that begin here."""
    exporting: bool = False
    """Whether spans go anywhere. If not, none are made, whoever asks for them."""
    _bound: int = field(init=False)
    _ids: list[str] = field(init=False, factory=list)
    """Not used yet."""

    @_bound.default
    def _below(self) -> int:
        return round(self.random_sampling / 100 * _HALVES) if self.exporting else 0

    def of(self, headers: Mapping[str, str]) -> Trace:
        """What the client sent, or new random ids in its place. A header that is not valid counts as not sent."""
        given = headers.get("traceparent")
        if given is not None and (found := _TRACEPARENT.fullmatch(given)) is not None:
            return self._continued(found, headers)
        return self.begun(_request_id(headers) if "x-request-id" in headers else None)

    def begun(self, request_id: str | None = None) -> Trace:
        """A trace of our own. `request_id`: the client's, if it sent one."""
        if not self._ids:
            self._ids = _random_ids()
        ids = self._ids.pop()
        trace_id, span_id = ids[:32], ids[32:]
        # It is this request's alone, so its id is found in the log by either name.
        request_id = request_id or trace_id
        if self._bound and self._samples(trace_id):
            return Trace(trace_id, request_id, None, span_id)
        return Trace(trace_id, request_id, f"00-{trace_id}-{span_id}-00")

    def _continued(self, found: re.Match[str], headers: Mapping[str, str]) -> Trace:
        trace_id, parent_id = found["trace"], found["parent"]
        request_id = _request_id(headers) or os.urandom(16).hex()
        sampled = self.exporting and int(found["flags"], 16) & _SAMPLED
        return Trace(trace_id, request_id, None, os.urandom(8).hex() if sampled else "", parent_id)

    def _samples(self, trace_id: str) -> bool:
        """The rule of OpenTelemetry's TraceIdRatioBased sampler: whoever has the id and the ratio decides the same."""
        return int(trace_id[16:], 16) < self._bound


def _request_id(headers: Mapping[str, str]) -> str | None:
    found = headers.get("x-request-id")
    return found if found is not None and _REQUEST_ID.fullmatch(found) else None
