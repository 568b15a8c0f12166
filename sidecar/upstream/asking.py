"""
How a request is written: RFC 9112. The headers are the caller's, in order; how the body is framed is ours to say.
"""

from collections.abc import Collection, Iterable

from multidict import CIMultiDict

from sidecar.upstream.origin import authority
from sidecar.upstream.reply import Call

_FRAMING = frozenset({"host", "content-length", "transfer-encoding"})
_HOST, _LENGTH, _CODING = b"\nhost:", b"\ncontent-length:", b"\ntransfer-encoding:"
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Of these nobody expects a body, so without one they need no length."""


def head_of(call: Call) -> bytes:
    """
    The first line and the headers. Raises ValueError, which quotes nothing of them, for what would end a line early:
    the rest of it would be read as a header, or as the next request.
    """
    headers, host = call.headers, authority(call.origin)
    if isinstance(headers, CIMultiDict):
        headers = headers.items()
    lines = _lines(headers)
    lowered = lines.lower()
    # In the lines and not header by header: they are nearly never there.
    if _HOST in lowered or _LENGTH in lowered or _CODING in lowered:
        host = _named("host", headers) or host
        lines = _lines([header for header in headers if header[0].lower() not in _FRAMING])
    first = f"{call.method} {call.path} HTTP/1.1\r\nHost: {host}"
    if first.count("\r") != 1 or first.count("\n") != 1 or "\0" in first:
        raise ValueError("a first line would end before its end")
    body = call.body
    framing = b"\r\nContent-Length: %d" % len(body) if isinstance(body, bytes) else _framing(call)
    return b"%b%b%b\r\n\r\n" % (first.encode("utf-8", "surrogateescape"), lines, framing)


def _lines(headers: Collection[tuple[str, str]]) -> bytes:
    """Each behind the end of the line before it. Bytes of the client's that were no UTF-8 are what they were."""
    text = "\r\n".join(["", *map(": ".join, headers)])
    if text.count("\r") != len(headers) or text.count("\n") != len(headers) or "\0" in text:
        raise ValueError("a header would end before its end")
    return text.encode("utf-8", "surrogateescape")


def _framing(call: Call) -> bytes:
    """Of what is not here as a whole."""
    if call.body is None:
        return b"" if call.method in _BODILESS else b"\r\nContent-Length: 0"
    length = length_of(call)
    return b"\r\nTransfer-Encoding: chunked" if length is None else b"\r\nContent-Length: %d" % length


def length_of(call: Call) -> int | None:
    """What the caller says of an upload. Raises ValueError for what is no length."""
    length = _named("content-length", call.pairs())
    if length is not None and not (length.isascii() and length.isdecimal()):
        raise ValueError("a length that is none")
    return None if length is None else int(length)


def _named(wanted: str, headers: Iterable[tuple[str, str]]) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)
