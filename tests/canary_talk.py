"""
What is said with canaries in it: by clients, by a provider that repeats all it was sent, and by operators.

Every path, every format, every header that holds a key or names a session, and every way to fail.
"""

import json

from attrs import frozen
from provider import COMPLETION, EVENTS_HEAD, MESSAGES_EVENTS, chunk, event, whole
from rawclient import request

SESSION_HEADERS = ("x-session-id", "x-model-affinity", "x-claude-code-session-id", "session-id", "x-session-affinity")
KEY_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie", "x-custom")
FORMS = ("chat/completions", "messages", "responses")
MODELS = ("openai/gpt", "anthropic/claude", "passed/gpt")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
AGENT = "canary-agent-that-may-be-told"


@frozen
class Sent:
    """One conversation: `what` it is, the bytes of the request, and whether the client hangs up half way."""

    what: str
    data: bytes
    hangs_up: bool = False


# The provider


async def provider(call):
    """Does what the prompt says (`do=…`), and repeats all it was sent whenever it fails."""
    text = call.request.head + b"\n" + call.request.body
    order = text.rpartition(b"do=")[2].split(b"\\")[0].split(b'"')[0].split(b" ")[0].decode("ascii", "replace")
    if "/classify/" in call.request.target:
        order = "500" if call.request.target.endswith("/embeddings") else "nohttp"
    await STORIES.get(order, _answers)(call, json.dumps(text.decode("latin-1")))


async def _answers(call, _said):
    if b'"stream": true' in call.request.body or b'"stream":true' in call.request.body:
        events = MESSAGES_EVENTS if "messages" in call.request.target else _chat_events()
        await call.send(EVENTS_HEAD, *map(chunk, events), b"0\r\n\r\n")
        return
    await call.send(whole(COMPLETION if "messages" not in call.request.target else _message()))


def _message():
    content = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    return json.dumps(
        {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": "tool_use",
         "stop_sequence": None, "usage": usage}
    ).encode()  # fmt: skip


def _chat_events(text="Hi"):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    yield event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
    yield b"data: [DONE]\n\n"


def _fails(status):
    async def story(call, said):
        body = f'{{"error": {{"message": {said}, "type": "t", "code": {said}}}}}'.encode()
        await call.send(whole(body, status=status, reason="No"))

    return story


async def _breaks(call, said):
    await call.send(EVENTS_HEAD, chunk(next(_chat_events(said))))
    await call.reset()


async def _errs(call, said):
    await call.send(EVENTS_HEAD, chunk(f'data: {{"error": {{"message": {said}}}}}\n\n'.encode()), b"0\r\n\r\n")


async def _babbles(call, said):
    await call.send(EVENTS_HEAD, chunk(f"event: {said}\ndata: {{{said}\n\n".encode()), b"0\r\n\r\n")


async def _no_json(call, said):
    await call.send(whole(said.encode() + b"{"))


async def _no_http(call, said):
    await call.send(f"{said}\r\nx: {said}\r\n\r\n".encode())
    await call.cut()


async def _echoes(call, said):
    answer = {"choices": [{"message": {"role": "assistant", "content": f'{{"route": {said}}} {said}'}}]}
    await call.send(whole(json.dumps(answer).encode()))


async def _hangs(call, _said):
    await call.gone.wait()
    await call.cut()


STORIES = {
    **{str(status): _fails(status) for status in (400, 401, 404, 429, 500, 503)},
    "break": _breaks,
    "error": _errs,
    "babble": _babbles,
    "nojson": _no_json,
    "echo": _echoes,
    "nohttp": _no_http,
    "hang": _hangs,
}


# The client


def body(canaries, form, model, order="", **more):
    """A request with a canary in every part that holds what users, tools and applications say."""
    prompt = f"{canaries['prompt']} write a function do={order} "
    said = {
        "model": model,
        "metadata": {"user_id": canaries["metadata"]},
        "tools": [_tool(canaries, form)],
        "x_unknown": canaries["unknown field"],
    }
    if form == "responses":
        call = {
            "type": "function_call",
            "call_id": "1",
            "name": "f",
            "arguments": json.dumps({"a": canaries["tool arguments"]}),
        }
        result = {"type": "function_call_output", "call_id": "1", "output": canaries["tool result"]}
        said |= {
            "instructions": canaries["system prompt"],
            "input": [call, result, {"role": "user", "content": prompt}],
        }
    elif form == "messages":
        call = {"type": "tool_use", "id": "1", "name": "f", "input": {"a": canaries["tool arguments"]}}
        result = {"type": "tool_result", "tool_use_id": "1", "content": canaries["tool result"]}
        turns = [("user", "hi"), ("assistant", [call]), ("user", [result, {"type": "text", "text": prompt}])]
        said |= {"max_tokens": 9, "system": canaries["system prompt"], "messages": _turns(turns)}
    else:
        call = {
            "id": "1",
            "type": "function",
            "function": {"name": "f", "arguments": json.dumps({"a": canaries["tool arguments"]})},
        }
        said["messages"] = [
            {"role": "system", "content": canaries["system prompt"]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": canaries["tool result"]},
            {"role": "user", "content": prompt},
        ]
    return json.dumps({**said, **more}).encode()


def _turns(turns):
    return [{"role": role, "content": content} for role, content in turns]


def _tool(canaries, form):
    described = {"name": "f", "description": canaries["tool description"]}
    if form == "messages":
        return {**described, "input_schema": {"type": "object"}}
    inner = {**described, "parameters": {"type": "object"}}
    return {"type": "function", **inner} if form == "responses" else {"type": "function", "function": inner}


def headers(canaries, number):
    """Every header that holds a key, and one of those that name a session, in turn."""
    session = SESSION_HEADERS[number % len(SESSION_HEADERS)]
    return [
        *(f"{name}: Bearer {canaries[f'key in {name}']}" for name in KEY_HEADERS),
        f"{session}: {canaries[f'session in {session}']}",
        f"user-agent: {AGENT}",
        f"traceparent: 00-{TRACE_ID}-00f067aa0ba902b7-01",
        f"referer: http://example.com/?{canaries['referer']}",
        "connection: close",
    ]


def conversations(canaries):
    """Every path, every format, every way to fail."""
    number = 0

    def asking(what, target, data, *more, method="POST", hangs_up=False, **framing):
        nonlocal number
        number += 1
        lines = [*headers(canaries, number), *more]
        return Sent(what, request(method, target, *lines, body=data, **framing), hangs_up)

    for form in FORMS * 2:  # more often than there are headers for sessions
        yield asking(f"decision, {form}", f"/routing/v1/{form}?q={canaries['query']}", body(canaries, form, "auto"))
    for form in FORMS:
        for model in MODELS:
            for stream in (False, True):
                what = f"{form} to {model}, stream={stream}"
                yield asking(what, f"/v1/{form}?q={canaries['query']}", body(canaries, form, model, stream=stream))
        for order in STORIES:
            yield asking(
                f"{form}, provider does {order}", f"/v1/{form}",
                body(canaries, form, ("auto", *MODELS)[number % 4], order, stream=number % 2 == 0), hangs_up=order == "hang",
            )  # fmt: skip
        for flaw in (
            {"messages": canaries["prompt"]},
            {"input": 5, "messages": [{"role": canaries["prompt"]}]},
            {"stream": canaries["prompt"]},
        ):
            yield asking(f"{form}, fields of the wrong kind", f"/v1/{form}", body(canaries, form, "gpt", **flaw))
    yield asking(
        "embeddings", "/v1/embeddings", json.dumps({"model": "openai/gpt", "input": canaries["prompt"]}).encode()
    )
    yield from _oddities(canaries, asking)
    yield from _preferences(canaries, asking)


def _preferences(canaries, asking):
    described = {
        "name": "mine",
        "description": canaries["preference"],
        "models": ["openai/gpt"],
        "examples": [canaries["preference"]],
    }
    for what, preferences in (
        ("inline preferences", [described]),
        ("inline preferences of unknown models", [{**described, "models": [canaries["preference"]]}]),
        ("inline preferences of the wrong kind", [{**described, "description": [canaries["preference"]]}]),
    ):
        for target in ("/v1/chat/completions", "/routing/v1/chat/completions"):
            yield asking(what, target, body(canaries, FORMS[0], "openai/gpt", routing_preferences=preferences))


def _oddities(canaries, asking):
    odd, good = canaries["malformed"], body(canaries, FORMS[0], "gpt")
    chats = "/v1/chat/completions"
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for path in (
            f"/v1/files/{canaries['path']}",
            f"/{canaries['path']}",
            f"/v1/chat/completions/{canaries['path']}",
        ):
            yield asking(f"{method} of an unknown path", f"{path}?key={canaries['query']}", b"", method=method)
    yield asking("a page's origin", chats, good, f"origin: http://{odd}.example.com")
    yield asking("broken JSON", chats, good[:-20])
    yield asking("no UTF-8", chats, b'{"messages": "\xff' + odd.encode() + b'"}')
    yield asking("a body that is no gzip", chats, good, "content-encoding: gzip")
    yield asking("an unknown encoding", chats, good, f"content-encoding: {odd}")
    yield asking("an unknown expectation", chats, good, f"expect: {odd}")
    yield asking("an odd traceparent", chats, good, f"traceparent: {odd}")
    yield asking("an odd content-type", chats, good, f"content-type: {odd}")
    yield asking("a session id that is none", chats, good, f"x-session-id: {odd} {odd}")
    yield asking("pin control that is none", chats, good, f"x-sidecar-pin: {odd}", f"x-routing-refresh: {odd}")
    yield asking("an unknown method", chats, good, method=odd.upper())
    yield asking("an unknown model of another's", chats, body(canaries, FORMS[0], "nobody/knows"))
    yield asking(
        "a continued response", "/v1/responses", body(canaries, FORMS[2], "openai/gpt", previous_response_id=odd)
    )
    chunked = b"5\r\nhello\r\n%b\r\n" % odd.encode()
    yield asking("a broken chunk", chats, chunked, framing="transfer-encoding: chunked")
    yield asking("a body that never comes", chats, good, framing="content-length: 99999", hangs_up=True)
    for what, data in (
        ("no HTTP", f"{odd}\r\n\r\n"),
        ("an odd version", f"GET /{odd} HTTP/{odd}\r\n\r\n"),
        ("a header without a colon", f"GET / HTTP/1.1\r\n{odd}\r\n\r\n"),
        ("a header of odd bytes", f"GET / HTTP/1.1\r\nhost: x\r\nx-session-id: {odd}\0\r\n\r\n"),
        ("a header that is too long", f"GET / HTTP/1.1\r\nhost: x\r\nx: {odd * 4000}\r\n\r\n"),
        ("a target that is too long", f"GET /{odd * 4000} HTTP/1.1\r\nhost: x\r\n\r\n"),
    ):
        yield Sent(what, data.encode())


# The operator


def orders(canaries):
    """What operators may get wrong, too: (method, path, body)."""
    odd, session = canaries["operator"], canaries["session of an operator"]
    pin = {"model": "openai/gpt"}
    return [
        ("PUT", f"/pins/{session}", pin),
        ("GET", f"/pins/{session}", None),
        ("PUT", f"/pins/{session}", {"model": odd}),
        ("PUT", f"/pins/{session}?tenant={odd}", {odd: odd}),
        ("DELETE", f"/pins/{session}", None),
        ("DELETE", f"/pins/{odd}?lane={odd}", None),
        ("POST", f"/pins/{session}", None),
        (odd.upper(), f"/pins/{session}", None),
        ("POST", f"/pins/move?from={odd}&to={odd}", None),
        ("POST", "/pins/import", odd),
        ("POST", "/route", {"text": canaries["prompt"], "session_id": session}),
        ("POST", "/route", odd),
        ("POST", f"/logging?level={odd}", None),
        ("GET", f"/stats?filter=({odd}", None),
        ("GET", f"/{odd}?{odd}", None),
        ("POST", "/reopen_logs", None),
    ]
