"""
What real clients send, as it was recorded on loopback (long texts shortened), reaches both kinds of provider.

`clients/*.json`: per request `from` (the recording), `line`, `headers` in order, `body` as JSON.
"""

import gzip
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from attrs import frozen
from provider import COMPLETION, END, EVENTS_HEAD, MESSAGES_EVENTS, RESPONSES_EVENTS, answers, chunk, delta, serving
from rawclient import connected

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CLIENTS = sorted(Path(__file__).parent.glob("clients/*.json"))

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
NATIVE = {"openai": {CHAT, RESPONSES}, "anthropic": {MESSAGES}}
KEY = {"openai": ("authorization", "Bearer our-key"), "anthropic": ("x-api-key", "our-key")}
MODEL = {"openai": "gpt-of-ours", "anthropic": "claude-of-ours"}
PREFERRED = {"openai": CHAT, "anthropic": MESSAGES}
"""Where a request in the other format goes."""

NAMES_A_SESSION = ("x-session-id", "x-claude-code-session-id", "session-id", "x-session-affinity")

STAYS = {
    # RFC 9110 7.6.1: of this connection only
    "connection", "upgrade", "http2-settings", "transfer-encoding", "expect",
    # framing, written anew
    "host", "content-length",
    # the client's credentials: the provider's key goes instead
    "authorization", "x-api-key",
    # our own words
    "x-session-id", "x-request-id",
}  # fmt: skip
STAYS_WITH_THE_ENCODING = {"content-encoding"}
"""The body was decompressed to be read, and is sent so."""
STAYS_WITH_THE_FORMAT = {"accept-encoding", "content-type", "content-encoding", "anthropic-version"}
"""Of a request that is translated: its dialect, and the encoding of an answer that must be read."""

NEEDED = {
    CHAT: {"model", "messages"},
    MESSAGES: {"model", "messages", "max_tokens"},
    RESPONSES: {"model", "input"},
}


@frozen
class Recorded:
    """One request, as its client sent it."""

    source: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """As it was before any encoding."""

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def lower(self):
        return {name.lower(): value for name, value in self.headers}

    @property
    def session(self):
        in_body = "body:prompt_cache_key" if b'"prompt_cache_key"' in self.body else None
        return next((name for name in NAMES_A_SESSION if name in self.lower), in_body)

    def packed(self):
        """The bytes of the request."""
        body = ENCODINGS.get(self.lower.get("content-encoding"), bytes)(self.body)
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: sidecar", *map(": ".join, self.headers)]
        if "transfer-encoding" in self.lower:
            body = b"".join((*map(chunk, (body[:20], body[20:])), END))
        elif self.method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body


ENCODINGS = {"gzip": gzip.compress, "zstd": zstd.compress}


def recorded(path):
    for found in json.loads(path.read_text()):
        method, target = found["line"].split(" ")
        body = (
            b"" if found["body"] is None else json.dumps(found["body"], ensure_ascii=False, separators=SPACING).encode()
        )
        yield Recorded(found["from"], method, target, tuple(map(tuple, found["headers"])), body)


SPACING = (",", ":")
"""As JSON.stringify and httpx write it."""


async def speak(call):
    """What each interface says, whole or as a stream."""
    events, whole = ANSWERS[call.request.target.partition("?")[0]]
    if b'"stream":true' in call.request.body:
        await call.send(EVENTS_HEAD, *map(chunk, events), END)
    else:
        await answers(whole)(call)


RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m",
    "output": [
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Hi", "annotations": []}]},
    ],
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
ANSWERS = {
    CHAT: ((delta("Hi"), delta("", "stop"), b"data: [DONE]\n\n"), COMPLETION),
    MESSAGES: (MESSAGES_EVENTS, json.dumps(MESSAGE).encode()),
    RESPONSES: (RESPONSES_EVENTS, json.dumps(RESPONSE).encode()),
}


@pytest.fixture
async def behind(start):
    """`await behind("openai")`: a sidecar before a provider of that kind, and the provider."""
    async with AsyncExitStack() as stack:

        async def begin(kind):
            provider = await stack.enter_async_context(serving(speak))
            entry = f"{{model: {kind}/{MODEL[kind]}, base_url: '{provider.url}', access_key: $KEY, default: true}}"
            # Asking for usage on our own account would change what some of them send.
            untouched = "telemetry: {inject_usage: false}"
            return await start(f"model_providers: [{entry}]\n{untouched}", {"KEY": "our-key"}), provider

        yield begin


async def ask(port, request):
    async with connected(port) as client:
        await client.send(request.packed())
        answer = await client.heard(request.method)
        return await client.heard(request.method) if answer.status == 100 else answer


@pytest.mark.parametrize("kind", NATIVE)
@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
async def test_what_real_clients_send_reaches_either_kind_of_provider(behind, path, kind):
    sidecar, provider = await behind(kind)
    sessions = set()
    for request in recorded(path):
        if request.method != "POST":  # probes have tests of their own
            continue
        answer = await ask(sidecar.port, request)
        assert (answer.status, answer.ending) == (200, "whole"), (request.source, answer.body)
        assert answer.one("x-sidecar-pin") == expected_pin(request, sessions), request.source
        if request.path in NATIVE[kind]:
            arrives_as_sent(request, provider.last, kind)
            assert answer.body == b"".join(said(request)), request.source
        else:
            arrives_translated(request, provider.last, kind)


def expected_pin(request, sessions):
    if request.session is None:
        return "none"
    session = request.lower.get(request.session, request.session)
    word = "hit" if session in sessions else "miss"
    sessions.add(session)
    return f"{word}; source={request.session}"


def said(request):
    events, whole = ANSWERS[request.path]
    return events if b'"stream":true' in request.body else [whole]


def arrives_as_sent(request, received, kind):
    source = request.source
    assert (received.method, received.target) == (request.method, request.target), source
    stays = STAYS | (STAYS_WITH_THE_ENCODING if "content-encoding" in request.lower else set())
    added = added_to(crossing(request, stays), received, source)
    assert [name for name, _ in added] == [KEY[kind][0], "x-request-id", "traceparent"], source
    assert added[0] == KEY[kind], source
    assert received.body == with_our_model(request.body, kind), source
    assert received.framed == received.body, source  # with a length, and not in chunks


def crossing(request, stays, foreign=()):
    """What should cross, in order. aiohttp writes the names it knows in a case of its own; no name depends on it."""
    named = [(name.lower(), value) for name, value in request.headers]
    return [header for header in named if header[0] not in stays and not header[0].startswith(foreign)]


def added_to(crossing, received, source):
    """What arrived behind the client's headers."""
    arrived = [(name.lower(), value) for name, value in received.headers]
    arrived = [header for header in arrived if header[0] not in {"host", "content-length"}]
    assert arrived[: len(crossing)] == crossing, source
    return arrived[len(crossing) :]


def with_our_model(body, kind):
    """By string, so that every other byte is what was sent. In no recording is it an inner key of the same value."""
    model = json.loads(body)["model"]
    sent = b'"model":' + json.dumps(model, ensure_ascii=False).encode()
    assert body.count(sent) == 1
    return body.replace(sent, b'"model":"%b"' % MODEL[kind].encode())


def arrives_translated(request, received, kind):
    source = request.source
    path = PREFERRED[kind]
    assert received.target == path, source
    foreign = ("openai-", "x-openai-") if path == MESSAGES else ("anthropic-", "x-anthropic-")
    added = dict(added_to(crossing(request, STAYS | STAYS_WITH_THE_FORMAT, foreign), received, source))
    assert added.pop("x-request-id")
    assert added.pop("traceparent")
    version = {"anthropic-version": "2023-06-01"} if path == MESSAGES else {}
    assert added == {"content-type": "application/json", "accept-encoding": "identity", **version, **dict([KEY[kind]])}
    body = received.json
    assert set(body) >= NEEDED[path], source
    assert body["model"] == MODEL[kind], source
    assert (body.get("stream") is True) == (json.loads(request.body).get("stream") is True), source
    assert all(message["role"] in {"system", "developer", "user", "assistant", "tool"} for message in body["messages"])


def recording(name, method):
    return next(found for path in CLIENTS for found in recorded(path) if (found.source, found.method) == (name, method))


async def test_claude_codes_question_whether_we_are_there_is_answered(behind):
    sidecar, provider = await behind("anthropic")
    answer = await ask(sidecar.port, recording("claude-code-probes", "HEAD"))
    assert (answer.status, answer.ending, provider.requests) == (200, "whole", [])


async def test_codex_is_told_at_once_that_there_are_no_websockets(behind):
    sidecar, provider = await behind("openai")
    answer = await ask(sidecar.port, recording("codex-builtin-tool", "GET"))
    assert (answer.status, answer.one("upgrade"), answer.ending) == (426, "HTTP/1.1", "whole")
    assert answer.json["error"]["code"] == "upgrade_required"
    assert provider.requests == []


async def test_a_list_of_models_is_ours(behind):
    sidecar, provider = await behind("openai")
    answer = await ask(sidecar.port, recording("openai-sdk-py", "GET"))
    assert [model["id"] for model in answer.json["data"]] == ["openai/gpt-of-ours", "auto"]
    assert provider.requests == []


async def test_codex_may_compress_its_bodies_with_zstd(behind):
    sidecar, provider = await behind("openai")
    request = recording("codex-zstd", "POST")
    assert request.lower["content-encoding"] == "zstd"
    answer = await ask(sidecar.port, request)
    assert (answer.status, answer.ending) == (200, "whole")
    assert provider.last.one("content-encoding") is None
    assert provider.last.body == with_our_model(request.body, "openai")
