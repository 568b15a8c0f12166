"""
With a sidecar between them, client and provider of one format say to each other what they would say without.

Every case is played twice with the same bytes, once straight to the provider and once through a sidecar, and what each
side received is compared: method, target and headers with their order and repeats, status, reason, body to the byte.
What differs is this, and nothing else:
"""

import gzip
import zlib

import pytest
from attrs import frozen
from provider import CHAT_EVENTS, COMPLETION, END, MESSAGES_EVENTS, RESPONSES_EVENTS, chunk, head, sends, serving
from rawclient import connected, request

FRAMING = {
    "host": "the provider's own",
}
TO_THE_PROVIDER = {
    "authorization": "the client's credentials stay, the provider's key goes instead",
    "x-request-id": "added, or the client's own",
    "traceparent": "added, when the client has none",
    "x-api-key": "as authorization, where Anthropic's format is spoken",
    "anthropic-version": "added there, when the client has none",
}
STAYS_HERE = {
    "connection": "RFC 9110, 7.6.1: speaks of one connection only",
    "keep-alive": "likewise",
    "te": "likewise",
    "transfer-encoding": "likewise",
    "x-named-by-connection": "likewise, for `connection` names it",
    "cookie": "belongs to whoever set it",
    "x-session-id": "ours",
    "x-sidecar-note": "ours",
}
TO_THE_CLIENT = {
    "x-sidecar-model": "added",
    "x-sidecar-route": "added",
    "x-sidecar-pin": "added",
    "x-sidecar-attempts": "added",
    "x-sidecar-failover": "added, where a 5xx was asked again",
    "x-request-id": "ours instead of the provider's",
    "date": "RFC 9110, 6.6.1: added when the provider sent none",
    "content-length": "of a body that came in chunks, where all of it is here before its head is sent",
}
NOT_RELAYED = {
    "connection": "RFC 9110, 7.6.1",
    "keep-alive": "likewise",
    "transfer-encoding": "likewise: framing is each connection's own",
    "set-cookie": "between the provider and whoever connects to it",
    "alt-svc": "speaks of the provider's address",
    "strict-transport-security": "likewise",
    "access-control-allow-origin": "ours to configure",
}
OF_EVENTS = {"content-length": "a keep-alive may be put in between two events"}
"""Names are compared in lower case: aiohttp writes those it knows in a case of its own, and no meaning depends on it."""

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
KINDS = {CHAT: "openai", MESSAGES: "anthropic", RESPONSES: "openai"}
ASKS = {
    CHAT: b'{ "temperature":1.0,"model":"m" ,\n"messages":[{"role":"user","content":"h\\u00efi \xc3\xa9"}],"x":[1e2,null]}',
    MESSAGES: b'{"max_tokens":10,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"model":"m"}',
    RESPONSES: b'{"input":"hi","model":"m","stream":false,"unknown":{"model":"m"}}',
}
MORE = (
    "Content-Type: application/json", "X-Twice: one", "x-other: 1", "X-Twice: two", "accept-encoding: gzip, br",
    "user-agent: a client/1.0 (of \xc3\xa9)", "X-Named-By-Connection: gone", "Connection: keep-alive, X-Named-By-Connection",
    "TE: trailers", "Cookie: a=b", "X-Session-Id: run-1", "X-Sidecar-Note: hm", "authorization: Bearer the-clients",
)  # fmt: skip


@frozen
class Side:
    """What one side received: a request or an answer."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    ending: str = "whole"


async def play(port, provider, sent, method):
    """(what the provider received, what the client received)"""
    async with connected(port) as client:
        await client.send(sent)
        heard = await client.heard(method)
    got = provider.last
    return (
        Side(f"{got.method} {got.target}", lower(got.headers), got.body),
        Side(client.line, lower(heard.headers), heard.body, heard.ending),
    )


def lower(headers):
    return [(name.lower(), value) for name, value in headers]


@pytest.fixture
async def compare(start):
    """`await compare(answer, path)`: plays it both ways and judges; gives what the client received through a sidecar."""

    async def both_ways(answer, path=CHAT, *, query="?beta=true&x=%2F", body=None, more=MORE, method="POST"):
        async with serving(sends(*answer)) as provider:
            kind = KINDS.get(path, "openai")
            entry = f"{{model: {kind}/m, base_url: '{provider.url}', access_key: $KEY, default: true}}"
            sidecar = await start(f"model_providers: [{entry}]", {"KEY": "our-key"})
            framing = "accept: */*" if method in {"GET", "HEAD"} else None  # neither has a body, nor a length of one
            sent = request(method, path + query, *more, body=ASKS[path] if body is None else body, framing=framing)
            asked, answered = await play(provider.port, provider, sent, method)
            asked_through, answered_through = await play(sidecar.port, provider, sent, method)
        same_request(asked, asked_through)
        same_answer(answered, answered_through)
        return answered_through

    return both_ways


def same_request(direct, through):
    assert through.line == direct.line
    assert through.body == direct.body
    mine = FRAMING | TO_THE_PROVIDER
    assert less(through.headers, mine) == less(direct.headers, mine | STAYS_HERE)
    assert {name for name, _ in through.headers}.isdisjoint(STAYS_HERE)


def same_answer(direct, through):
    assert through.line == direct.line
    assert (through.body, through.ending) == (direct.body, direct.ending)
    added = {name: why for name, why in TO_THE_CLIENT.items() if name not in dict(direct.headers)}
    replaced = {"x-request-id": TO_THE_CLIENT["x-request-id"]}
    relayed = NOT_RELAYED | replaced | (OF_EVENTS if is_plain_events(direct) else {})
    assert less(through.headers, relayed | added) == less(direct.headers, relayed)


def is_plain_events(side):
    named = dict(side.headers)
    return named.get("content-type", "").startswith("text/event-stream") and "content-encoding" not in named


def less(headers, names):
    return [header for header in headers if header[0] not in names]


JSON = "content-type: application/json"
EVENTS = {CHAT: CHAT_EVENTS, MESSAGES: MESSAGES_EVENTS, RESPONSES: RESPONSES_EVENTS}


def sized(body, *headers, status=200, reason="OK"):
    return [head(status, reason, *headers, f"content-length: {len(body)}"), body]


def chunked(pieces, *headers, status=200, reason="OK"):
    return [head(status, reason, *headers, "transfer-encoding: chunked"), *map(chunk, pieces), END]


@pytest.mark.parametrize("path", ASKS)
async def test_json_and_events_are_the_same_in_every_format(compare, path):
    await compare(sized(COMPLETION, JSON), path)
    await compare(chunked([COMPLETION[:7], COMPLETION[7:]], JSON), path)
    await compare(chunked(EVENTS[path], "content-type: text/event-stream; charset=utf-8"), path)
    await compare(sized(b"".join(EVENTS[path]), "content-type: text/event-stream"), path)


def packed(encoding, body):
    """Not all of these can be unpacked here, and none is."""
    return {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, lambda body: b"\x8b\x00\xff" + body)(body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_packed_answers_are_the_same_bytes(compare, encoding):
    named = f"content-encoding: {encoding}"
    await compare(sized(packed(encoding, COMPLETION), JSON, named))
    events = packed(encoding, b"".join(CHAT_EVENTS))
    await compare(chunked([events[:9], events[9:]], "content-type: text/event-stream", named))
    await compare(sized(packed(encoding, b'{"error":{}}'), JSON, named, status=418, reason="Teapot"))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, "Fine"), (201, "Created"), (202, ""), (203, "Perhaps"), (299, "Odd"), (302, "Found"), (307, "Over There"),
        (400, "Bad"), (404, "Not Here"), (409, "No"), (418, "I'm a teapot"), (422, "Unprocessable Entity"), (451, "Law"),
        (499, ""), (500, "Oops"), (503, "Busy"), (529, "Site is overloaded"),
    ],
)  # fmt: skip
async def test_status_reason_and_body_are_the_same(compare, status, reason):
    body = b'{"error":{"message":"so it is"}}'
    await compare(
        sized(body, JSON, "location: /elsewhere", "x-why: so", "request-id: req_1", status=status, reason=reason)
    )
    await compare(chunked([body], JSON, status=status, reason=reason))


@pytest.mark.parametrize(("status", "reason"), [(204, "No Content"), (304, "Not Modified")])
async def test_an_answer_without_a_body_is_the_same(compare, status, reason):
    await compare([head(status, reason, "x-thing: 1", 'etag: "a"')])


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_an_empty_body_is_the_same(compare, status):
    await compare(sized(b"", JSON, status=status))
    await compare(sized(b"", status=status))
    await compare(chunked([], JSON, status=status))


@pytest.mark.parametrize("status", [200, 404])
async def test_a_body_of_no_type_is_the_same(compare, status):
    answered = await compare(sized(b"what am I", status=status))
    assert {"content-type", "server"}.isdisjoint(dict(answered.headers))
    await compare(chunked([b"what", b" am I"], status=status))


@pytest.mark.parametrize("status", [200, 429])
async def test_repeated_headers_stay_repeated_and_in_order(compare, status):
    headers = (
        "x-many: 1", JSON, "X-Many: 2", "x-request-id: theirs", "set-cookie: a=b", "alt-svc: h3", "x-many: 1", "date: Now",
        "strict-transport-security: max-age=1", "keep-alive: timeout=5", "connection: keep-alive", "server: theirs",
        "access-control-allow-origin: *", "x-ratelimit-remaining-requests: 7", "retry-after: 7200", "x-name: caf\xc3\xa9",
    )  # fmt: skip
    answered = await compare(sized(COMPLETION, *headers, status=status))
    assert [value for name, value in answered.headers if name == "x-many"] == ["1", "2", "1"]


async def test_a_body_that_ends_with_its_connection_is_the_same(start):
    async def story(call):
        await call.send(head(200, "OK", JSON), COMPLETION)
        await call.cut()

    async with serving(story) as provider:
        entry = f"{{model: openai/m, base_url: '{provider.url}', access_key: $KEY, default: true}}"
        sidecar = await start(f"model_providers: [{entry}]", {"KEY": "our-key"})
        _, answered = await play(sidecar.port, provider, request("POST", CHAT, body=ASKS[CHAT]), "POST")
    assert (answered.body, answered.ending) == (COMPLETION, "whole")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/files/file-1/content", b""),
        ("DELETE", "/v1/files/file-1", b""),
        ("POST", "/v1/embeddings", b'{"input" : "x","model":"m","dimensions":1e1}'),
        ("POST", "/v1/audio/transcriptions", b"--x\r\n\r\n\x00\xff\r\n--x--\r\n"),
        ("PUT", "/v1/files/a%2Fb/c", b"\x00\x01"),
    ],
)
async def test_what_is_only_forwarded_is_the_same(compare, method, path, body):
    kind = "application/json" if body.startswith(b"{") else "multipart/form-data; boundary=x"
    more = (f"content-type: {kind}", *MORE[1:])
    await compare(sized(b"\x89PNG\r\n\x00", "content-type: image/png"), path, body=body, more=more, method=method)


async def test_head_is_the_same(compare):
    for status in (200, 404):
        answer = [head(status, "OK", "content-type: audio/mpeg", "content-length: 12345")]
        await compare(answer, "/v1/files/file-1/content", body=b"", more=MORE[1:], method="HEAD")
