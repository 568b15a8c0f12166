"""
How a request is written: RFC 9112.

    POST /v1/chat/completions HTTP/1.1 ┐
    Host: api.openai.com               ├ the beginning: what crosses of the client's headers, and the target's own
    …                                  ┘
    x-request-id, traceparent            of this request
    Content-Length                       or how else its body is framed, which is ours to say

A client sends the same head again and again, and what becomes of it at one target is always the same. So the beginning
is kept, under the client's head itself: not something like it, for a key that is passed through is one of its lines.
It takes 1 µs then, and 10 to 20 to make it anew.
"""

from collections.abc import AsyncIterator, Callable, Hashable

from sidecar.errors import UpstreamError
from sidecar.upstream.headers import Headers, Outgoing
from sidecar.upstream.order import Order

MOST_BEGINNINGS = 512
"""Of all targets together; then the oldest goes."""
LONG_BEGINNING = 4096
"""In characters. A longer one is made each time, so that those that are kept take 2 MiB at most."""

_FRAMING = frozenset({"host", "content-length", "transfer-encoding"})
_HOST, _LENGTH, _CODING = "\nhost:", "\ncontent-length:", "\ntransfer-encoding:"
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Of these nobody expects a body, so without one they need no length."""

Body = bytes | AsyncIterator[bytes] | None


class Unwritable(UpstreamError):
    """A line of the head would end before its end: the rest of it would be read as a header, or as the next request."""


class Beginnings:
    """
    What was made once, for one configuration: it is forgotten with the keys that are in it. No repr shows it.

    A key is the client's `Order.head`, which is equal to nothing but itself, with all that the beginning depends on.
    """

    __slots__ = ("_kept", "get")

    def __init__(self) -> None:
        self._kept: dict[Hashable, str] = {}
        self.get = self._kept.get

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: Hashable, text: str) -> None:
        if len(text) > LONG_BEGINNING:
            return
        if len(self._kept) >= MOST_BEGINNINGS:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = text


class Heads:
    """The heads of the requests to one target."""

    __slots__ = ("_beginnings", "_host", "_mark", "_outgoing", "_path", "_tells_both")

    def __init__(self, host: str, path: Callable[[str], str], outgoing: Outgoing, beginnings: Beginnings) -> None:
        """`host` is told where `outgoing` has none; `path` makes the provider's of the client's request target."""
        self._host = host
        self._path = path
        self._outgoing = outgoing
        self._tells_both = outgoing.tells_id and outgoing.tells_trace
        self._beginnings = beginnings
        self._mark = object()  # in keys in our place: what keeps us and is kept by us waits for the collector

    def of(self, order: Order, traceparent: str | None, body: Body) -> bytes:
        """
        All of it, with the blank line. Without `traceparent` the client's own crosses. Raises as `path`, and Unwritable,
        which quotes nothing.
        """
        begun = None
        rewritten = isinstance(body, bytes) and body is not order.received and body != order.received
        if lasts := order.head is not None and traceparent is not None:
            key = (self._mark, order.head, order.method, order.request_target, rewritten, order.decoded, order.plain)
            begun = self._beginnings.get(key)
        if begun is None:
            begun = self._begun(order, traced=traceparent is not None, rewritten=rewritten)
            if lasts:
                self._beginnings.keep(key, begun)
        if isinstance(body, bytes) and traceparent is not None and self._tells_both:  # as nearly always
            request_id = order.request_id
            both = f"{request_id}{traceparent}"  # half of what `isprintable` takes for them
            if "\n" not in both and "\r" not in both and "\0" not in both:
                head = (
                    f"{begun}\r\nx-request-id: {request_id}\r\ntraceparent: {traceparent}"
                    f"\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                return head.encode("utf-8", "surrogateescape")
        head = f"{begun}{self._ours(order, traceparent)}{_framing(order, body)}\r\n\r\n"
        return head.encode("utf-8", "surrogateescape")

    def _ours(self, order: Order, traceparent: str | None) -> str:
        """
        What is of this request only. Both were made here, or read by a pattern: that they are one line is looked at for
        the sake of what comes.
        """
        outgoing = self._outgoing
        ours = f"\r\nx-request-id: {order.request_id}" if outgoing.tells_id and order.request_id.isprintable() else ""
        if traceparent is not None and outgoing.tells_trace and traceparent.isprintable():
            ours += f"\r\ntraceparent: {traceparent}"
        return ours

    def _begun(self, order: Order, *, traced: bool, rewritten: bool) -> str:
        headers = self._outgoing.of(
            order.headers(), traced=traced, rewritten=rewritten, decoded=order.decoded, plain=order.plain
        )
        return begun(order.method, self._path(order.request_target), self._host, headers)


def begun(method: str, path: str, host: str, headers: Headers) -> str:
    """
    The first line and the headers, in order; a `Host` among them is told instead of `host`, and no framing of theirs is.
    Bytes of the client's that were no UTF-8 are surrogates. Raises Unwritable.
    """
    lines = "\r\n".join(["", *map(": ".join, headers)])
    lowered = lines.lower()
    # In the lines and not header by header: they are nearly never there.
    if _HOST in lowered or _LENGTH in lowered or _CODING in lowered:
        host = next((value for name, value in headers if name.lower() == "host"), host)
        headers = [header for header in headers if header[0].lower() not in _FRAMING]
        lines = "\r\n".join(["", *map(": ".join, headers)])
    text = f"{method} {path} HTTP/1.1\r\nHost: {host}{lines}"
    ends = len(headers) + 1
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise Unwritable("The request cannot be sent: a line of its head would end before its end.")
    return text


def _framing(order: Order, body: Body) -> str:
    if isinstance(body, bytes):
        return f"\r\nContent-Length: {len(body)}"
    if body is None:
        return "" if order.method in _BODILESS else "\r\nContent-Length: 0"
    if order.content_length is None:
        return "\r\nTransfer-Encoding: chunked"
    return f"\r\nContent-Length: {order.content_length}"
