"""
Requests that are no HTTP, or are it in two ways: bytes, and what must become of them. RFC 9112 is what is meant by HTTP.

A request that is refused gets one answer of 400 or more, or none, and its connection is closed: what follows on it may
be anything. Nothing of it reaches the provider. One that is answered reaches the provider once, framed in one way. In no
row does anything that a body holds, or what follows a refused request, become a request of its own: where it could be
taken for one, its path is /v1/smuggled.
"""

from attrs import frozen

BODY = b'{"model":"openai/first","messages":[{"role":"user","content":"hi"}]}'
HIDDEN = b"GET /v1/smuggled HTTP/1.1\r\nhost: sidecar\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@frozen
class Row:
    """`sent`: with `%ROW%` where the row is named."""

    name: str
    sent: bytes
    want: str
    """`refused`, or `answered`."""
    statuses: tuple[int, ...] = ()
    """Those that are right; any of its kind if none is named."""
    hangs_up: bool = False
    """Whether the client closes its side behind what it sent; else it waits."""
    answers: int = 1
    """Of the right kind."""
    laxer: str | None = None
    """Why we answer what nginx refuses."""
    keeps: bool = False
    """Whether its connection may go on although it is refused: where it ends is beyond doubt."""


def message(line, *lines, body=b"", host=b"host: sidecar", end=b"\r\n"):
    """A request of whole lines."""
    named = [line, *([host] if host is not None else []), b"x-row: %ROW%", *lines]
    return end.join([*named, b"", b""]) + body


def post(*lines, body=BODY, target=b"/v1/chat/completions", **more):
    lines = (b"content-type: application/json", *lines)
    return message(b"POST %b HTTP/1.1" % target, *lines, body=body, **more)


def sized(*lines, body=BODY, **more):
    return post(b"content-length: %d" % len(body), *lines, body=body, **more)


def chunked(body, *lines, **more):
    return post(b"transfer-encoding: chunked", *lines, body=body, **more)


def streamed(body, *lines):
    """On a path where the body goes on to the provider while it comes."""
    lines = (b"transfer-encoding: chunked", b"content-type: text/plain", *lines)
    return message(b"POST /v1/files HTTP/1.1", *lines, body=body)


def get(*lines, target=b"/v1/things", version=b"HTTP/1.1", method=b"GET", **more):
    return message(b"%b %b %b" % (method, target, version), *lines, **more)


def refused(name, sent, *statuses, **more):
    return Row(name, sent, "refused", statuses, **more)


def answered(name, sent, *statuses, **more):
    return Row(name, sent, "answered", statuses or (200,), **more)


LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
TAB = "a tab is as good as a space: RFC 9110, 5.6.3"

FRAMING = (
    answered("a length", sized()),
    answered("chunks", chunked(CHUNKS)),
    answered("chunks, passed on while they come", streamed(CHUNKS)),
    refused("CL and TE", post(LENGTH, CHUNKED, body=CHUNKS), 400),
    refused("CL and TE, with a request behind the length", post(b"content-length: 0", CHUNKED, body=CHUNKS + HIDDEN)),
    refused("TE and CL", post(CHUNKED, b"content-length: 6", body=b"0\r\n\r\n" + HIDDEN), 400),
    refused("CL twice, the same", sized(LENGTH), 400),
    refused("CL twice, different", sized(b"content-length: 5"), 400),
    refused("CL as a list, the same", post(b"content-length: 5, 5", body=b"hello"), 400),
    refused("CL as a list, different", post(b"content-length: 5, 6", body=b"hello"), 400),
    refused("CL with a plus", post(b"content-length: +5", body=b"hello"), 400),
    refused("CL with a minus", post(b"content-length: -5", body=b"hello"), 400),
    refused("CL in hex", post(b"content-length: 0x5", body=b"hello"), 400),
    refused("CL with a space in it", post(b"content-length: 1 0", body=b"hellohello"), 400),
    refused("CL with a dot", post(b"content-length: 5.0", body=b"hello"), 400),
    refused("CL with an underscore", post(b"content-length: 1_0", body=b"hellohello"), 400),
    refused("CL in Arabic digits", post("content-length: \u0665".encode(), body=b"hello"), 400),
    refused("CL empty", post(b"content-length: ", body=b"hello"), 400),
    refused("CL past 64 bits", post(b"content-length: 18446744073709551621", body=b"hello"), 400),
    refused("CL past the limit", post(b"content-length: 1000000000000", body=b"hello"), 413),
    answered("CL with zeros before it", post(b"content-length: 000%d" % len(BODY))),
    answered("CL with spaces and a tab around", post(b"content-length: \t %d \t " % len(BODY)), laxer=TAB),
    refused("TE: identity", post(b"transfer-encoding: identity", body=b""), 400),
    refused("TE: identity, and CL", sized(b"transfer-encoding: identity"), 400),
    refused("TE: xchunked", post(b"transfer-encoding: xchunked", body=CHUNKS), 400),
    refused("TE: chunkedx", post(b"transfer-encoding: chunkedx", body=CHUNKS), 400),
    refused("TE: chunked, chunked", post(b"transfer-encoding: chunked, chunked", body=CHUNKS), 400),
    refused("TE: chunked, identity", post(b"transfer-encoding: chunked, identity", body=CHUNKS), 400),
    refused("TE: identity, chunked", post(b"transfer-encoding: identity, chunked", body=CHUNKS), 400),
    refused("TE: gzip, chunked", post(b"transfer-encoding: gzip, chunked", body=CHUNKS), 400),
    refused("TE: chunked, gzip", post(b"transfer-encoding: chunked, gzip", body=CHUNKS), 400),
    refused("TE twice", post(CHUNKED, CHUNKED, body=CHUNKS), 400),
    refused("TE twice, one of them identity", post(CHUNKED, b"transfer-encoding: identity", body=CHUNKS), 400),
    refused("TE twice, chunked first and CL", post(CHUNKED, b"transfer-encoding: x", LENGTH, body=CHUNKS), 400),
    refused("TE empty", post(b"transfer-encoding: ", body=CHUNKS), 400),
    refused("TE: chunked in quotes", post(b'transfer-encoding: "chunked"', body=CHUNKS), 400),
    refused("TE: chunked with a parameter", post(b"transfer-encoding: chunked;q=1", body=CHUNKS), 400),
    answered("TE: CHUNKED", post(b"Transfer-Encoding: CHUNKED", body=CHUNKS)),
    answered("TE: chunked behind a tab", post(b"transfer-encoding:\tchunked", body=CHUNKS), laxer=TAB),
    refused("TE behind a vertical tab", post(b"transfer-encoding:\x0bchunked", body=CHUNKS), 400),
    refused("TE with a space before its colon", post(b"transfer-encoding : chunked", body=CHUNKS), 400),
    refused("TE with an underscore, and CL", post(b"transfer_encoding: chunked", b"content-length: 4", body=CHUNKS)),
    refused("TE in HTTP/1.0", chunked(CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    refused("neither, with a body", post(body=b"") + b'{"model":1}\r\n\r\n'),
)  # fmt: skip

CHUNKS_GONE_WRONG = tuple(
    row
    for path, framed in (("", chunked), (", passed on", streamed))
    for row in (
        refused(f"a chunk's size in 0x{path}", framed(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size with a minus{path}", framed(b"-5\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size with a plus{path}", framed(b"+5\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size past 64 bits{path}", framed(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400, 413),
        refused(f"a chunk's size is empty{path}", framed(b"\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size with a space before it{path}", framed(b" 5\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size with a space behind it{path}", framed(b"5 \r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size with a tab behind it{path}", framed(b"5\t\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size ends with a bare LF{path}", framed(b"5\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size ends with a bare CR{path}", framed(b"5\rhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk's size with a NUL{path}", framed(b"5\x00\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk without its CRLF{path}", framed(b"5\r\nhello0\r\n\r\n"), 400),
        refused(f"a chunk that ends with a bare LF{path}", framed(b"5\r\nhello\n0\r\n\r\n"), 400),
        refused(f"a chunk longer than its size{path}", framed(b"3\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"the last chunk ends with a bare LF{path}", framed(b"0\n\r\n" + HIDDEN), 400),
        refused(f"a bare LF in a chunk's extension{path}", framed(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a bare CR in a chunk's extension{path}", framed(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400),
        refused(f"a chunk that is cut short{path}", framed(b"ff\r\nhello"), hangs_up=True),
        refused(f"chunks without an end{path}", framed(b"5\r\nhello\r\n"), hangs_up=True),
    )
)

CHUNKS_WITH_MORE = (
    answered("a chunk's extension", chunked(b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))),
    answered("a chunk's extension in quotes", chunked(b'%x;a="b;c"\r\n%b\r\n0\r\n\r\n' % (len(BODY), BODY))),
    answered(
        "a chunk's extension of 64 KiB", chunked(b"%x;" % len(BODY) + b"a" * 65536 + b"\r\n%b\r\n0\r\n\r\n" % BODY)
    ),
    answered("zeros before a chunk's size", chunked(b"000%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))),
    answered("a trailer", chunked(CHUNKS[:-2] + b"x-more: 1\r\n\r\n")),
    refused("a trailer that would be framing", chunked(CHUNKS[:-2] + b"content-length: 5\r\n\r\n")),
    answered("a trailer that would be a key", chunked(CHUNKS[:-2] + b"authorization: Bearer x\r\n\r\n")),
    refused("a trailer without a colon", chunked(CHUNKS[:-2] + b"GET /v1/smuggled HTTP/1.1\r\n\r\n"), 400),
    refused("a trailer with a NUL", chunked(CHUNKS[:-2] + b"x-more: \x00\r\n\r\n"), 400),
)

HEADERS = (
    refused("obs-fold", sized(b"x-more: 1\r\n 2"), 400),
    refused("obs-fold with a tab", sized(b"x-more: 1\r\n\t2"), 400),
    refused("obs-fold of TE", post(LENGTH, b"transfer-encoding:\r\n chunked", body=CHUNKS), 400),
    refused("a space before the first header", message(b"GET /v1/things HTTP/1.1", host=b" host: sidecar"), 400),
    refused("a NUL in a name", sized(b"x-mo\x00re: 1"), 400),
    refused("a NUL in a value", sized(b"x-more: 1\x002"), 400),
    refused("a NUL in a target", get(target=b"/v1/thi\x00ngs"), 400),
    refused("a bare CR in a value", sized(b"x-more: 1\rx-other: 2"), 400),
    refused("a bare LF in a value", sized(b"x-more: 1\nx-other: 2"), 400),
    refused("a bare LF that brings TE", sized(b"x-more: 1\ntransfer-encoding: chunked"), 400),
    refused("bare LFs all over", get(end=b"\n"), 400),
    refused("a bare LF behind the request's line", get().replace(b"\r\n", b"\n", 1), 400),
    refused("a bare LF at the head's end", get()[:-2] + b"\n", 400),
    refused("bare CRs all over", get(end=b"\r") + b"\r\n\r\n"),
    refused("CR CR LF", get(b"x-more: 1\r"), 400),
    refused("a space before a colon", sized(b"x-more : 1"), 400),
    refused("a tab before a colon", sized(b"x-more\t: 1"), 400),
    refused("a space in a name", sized(b"x more: 1"), 400),
    refused("an empty name", sized(b": 1"), 400),
    refused("a header without a colon", sized(b"x-more"), 400),
    refused("a name in parentheses", sized(b"(x): 1"), 400),
    refused("a name beyond ASCII", sized("x-mör: 1".encode()), 400),
    refused("DEL in a value", sized(b"x-more: 1\x7f"), 400),
    refused("ESC in a value", sized(b"x-more: \x1b[31m"), 400),
    answered("a value beyond ASCII", sized("x-more: ö".encode())),
    answered("an empty value", sized(b"x-more:")),
    refused("10,000 headers", sized(*[b"x-%d: 1" % number for number in range(10_000)])),
    refused("a header of 100 KB", sized(b"x-more: " + b"a" * 100_000), 400, 431),
    refused("a name of 100 KB", sized(b"x" * 100_000 + b": 1"), 400, 431),
    refused("50 headers of 60 KB", sized(*[b"x-%d: " % number + b"a" * 60_000 for number in range(50)]), 400, 431),
    refused("CL hidden in another header", post(b"x-more: 1\rcontent-length: 68", body=BODY), 400),
)  # fmt: skip

HOSTS = (
    refused("no host", get(host=None), 400),
    refused("two hosts", get(b"host: other"), 400),
    refused("two hosts, the same", get(b"host: sidecar"), 400),
    refused("an empty host", get(host=b"host: "), 400),
    refused("a host with a space", get(host=b"host: a b"), 400),
    refused("a host with a slash", get(host=b"host: a/b"), 400),
    refused("a host with user@", get(host=b"host: user@sidecar"), 400),
    refused("hosts in a list", get(host=b"host: a, b"), 400),
    refused("a host with a port that is none", get(host=b"host: sidecar:http"), 400),
    refused("a host with a quote", get(host=b'host: a"b'), 400),
    answered("an IPv6 host", get(host=b"host: [::1]:12000")),
    answered("HTTP/1.0 without a host", get(version=b"HTTP/1.0", host=None)),
)

LINES = (
    answered("absolute-form", get(target=b"http://sidecar/v1/things")),
    answered("absolute-form of another host: nothing chooses a host", get(target=b"http://elsewhere.test/v1/things")),
    refused("absolute-form of another scheme", get(target=b"ftp://sidecar/v1/things"), 400),
    refused("absolute-form with user@", get(target=b"http://user@sidecar/v1/things"), 400),
    refused("absolute-form without a host", get(target=b"http:///v1/things"), 400),
    refused("asterisk-form for GET", get(target=b"*"), 400),
    refused("authority-form for GET", get(target=b"sidecar:12000"), 400),
    refused("a target without a slash", get(target=b"v1/things"), 400),
    refused("no target", message(b"GET HTTP/1.1"), 400),
    answered("two spaces before the target", message(b"GET  /v1/things HTTP/1.1")),
    answered("two spaces before the version", message(b"GET /v1/things  HTTP/1.1")),
    refused("a tab for a space", message(b"GET\t/v1/things HTTP/1.1"), 400),
    refused("a space behind the version", message(b"GET /v1/things HTTP/1.1 "), 400),
    refused("a space in the target", get(target=b"/v1/thi ngs"), 400),
    refused("a bare CR in the target", get(target=b"/v1/thi\rngs"), 400),
    refused("a control character in the target", get(target=b"/v1/thi\x01ngs"), 400),
    refused("DEL in the target", get(target=b"/v1/thi\x7fngs"), 400),
    refused("bytes beyond ASCII in the target", get(target="/v1/thöngs".encode()), 400),
    refused("a fragment in the target", get(target=b"/v1/things#x"), 400),
    answered("CRLF in the target, encoded", get(target=b"/v1/things?%0d%0aGET%20/v1/smuggled%20HTTP/1.1")),
    answered("CRLF in the path, encoded", get(target=b"/v1/things%0d%0ax-more:%201")),
    answered("NUL in the path, encoded", get(target=b"/v1/things%00"),
        laxer="nothing here opens a file: it goes on as it came, encoded"),
    refused("a space before the method", message(b" GET /v1/things HTTP/1.1"), 400),
    answered("an empty line before the request", b"\r\n" + get()),
    answered("a bare LF before the request", b"\n" + get()),
    refused("HTTP/0.9", b"GET /v1/things\r\n", 400, 408),
    answered("HTTP/1.0", get(version=b"HTTP/1.0")),
    refused("HTTP/1.2", get(version=b"HTTP/1.2"), 400, 505),
    refused("HTTP/2.0", get(version=b"HTTP/2.0"), 400, 505),
    refused("HTTP/3", get(version=b"HTTP/3"), 400, 505),
    refused("HTTP/1.10", get(version=b"HTTP/1.10"), 400, 505),
    refused("HTTP/01.1", get(version=b"HTTP/01.1"), 400, 505),
    refused("http/1.1", get(version=b"http/1.1"), 400),
    refused("HTTPS/1.1", get(version=b"HTTPS/1.1"), 400),
    refused("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9, 400, 505),
    refused("TLS, where there is none", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 40, 400),
    refused("a PROXY header that nobody agreed on", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(), 400),
    refused("a method in small letters", get(method=b"get"), 400),
    refused("a method that nobody knows", get(method=b"SMUGGLE"), 400, 405, 501),
    refused("a method with a colon", get(method=b"GET:"), 400),
    refused("a method of 100 KB", get(method=b"G" * 100_000)),
    refused("a target of 100 KB", get(target=b"/v1/" + b"a" * 100_000), 400, 414, 431),
    refused("CONNECT", get(method=b"CONNECT", target=b"elsewhere.test:443")),
    refused("CONNECT with a path", get(method=b"CONNECT")),
    refused("TRACE", get(method=b"TRACE"), 405, 501),
)  # fmt: skip

ENDS = (
    refused("nothing at all", b"", hangs_up=True),
    refused("a head that is cut short", get()[:30], hangs_up=True),
    refused("a head without its end", get()[:-2], hangs_up=True),
    refused("a body that is cut short", sized()[:-5], hangs_up=True),
    refused("a body that does not come", sized(body=BODY)[: -len(BODY)], hangs_up=True),
    answered("two requests in one piece", sized() + sized(), answers=2),
    answered("a request in a body", sized(body=BODY[:-1] + b',"x":"' + HIDDEN.replace(b"\r\n", b"\\r\\n") + b'"}')),
    answered("a request in a body that is passed on", message(
        b"POST /v1/files HTTP/1.1", b"content-length: %d" % len(HIDDEN), b"content-type: text/plain", body=HIDDEN)),
    answered("a request in a chunk", streamed(b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN))),
    answered("a GET with a body that is a request", get(b"content-length: %d" % len(HIDDEN), body=HIDDEN)),
    refused("CRLFs and nonsense behind a request", b"\r\n\r\nnonsense\r\n\r\n" + HIDDEN, 400),
)  # fmt: skip

OTHER_PROTOCOLS = (
    answered("Upgrade: h2c, with a request behind it", sized(
        b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABk") + HIDDEN,
    ),
    refused("Upgrade: websocket", get(
        b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==") + HIDDEN, 426),
    answered("Expect: 100-continue", sized(b"expect: 100-continue")),
    answered("Expect: 100-Continue", sized(b"expect: 100-Continue")),
    refused("Expect: 200-ok", sized(b"expect: 200-ok"), 417, keeps=True),
    refused("Expect twice", sized(b"expect: 100-continue", b"expect: 100-continue, x"), 417, keeps=True),
    answered("Connection names a header of ours", sized(b"connection: content-length, host, authorization")),
    answered("Connection: close", sized(b"connection: close")),
    refused("Connection: close, with a request behind it", sized(b"connection: close") + HIDDEN, 400),
    refused("Connection twice, with a request behind it", sized(
        b"connection: keep-alive", b"connection: close") + HIDDEN, 400),
    answered("a Content-Length by another name", sized(b"content-length-: 0", b"x-content-length: 0")),
)  # fmt: skip

TABLE = (*FRAMING, *CHUNKS_GONE_WRONG, *CHUNKS_WITH_MORE, *HEADERS, *HOSTS, *LINES, *ENDS, *OTHER_PROTOCOLS)
