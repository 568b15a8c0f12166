"""
Who gets to see what: a provider sees its own key only, a client its own answers only, and no client chooses whom we call.

Credentials are canaries: whatever a provider was sent is searched for all of them, and for pieces of them. Whom the
process connects to, and which names it looks up, is told by Python itself (an audit hook).
"""

import asyncio
import itertools
import json
import random
import sys

import pytest
from canaries import Canaries
from provider import (
    CHAT_EVENTS,
    COMPLETION,
    END,
    EVENTS_HEAD,
    MESSAGES_EVENTS,
    chunk,
    hangs,
    head,
    is_cut,
    is_reset,
    refuses,
    serving,
    then_cut,
    whole,
)
from rawclient import connected, request
from running import CODE

ROUTE = {"name": "code", "description": "writing functions and code"}
SHORT = head(200, "OK", "content-type: application/json", "content-length: 500") + COMPLETION[:100]
FAILURES = {
    "500": refuses(500, {"message": "No."}),
    "503": refuses(503, {"message": "No."}, "retry-after: 60"),
    "429": refuses(429, {"message": "No.", "code": "rate_limit_exceeded"}, "retry-after: 60"),
    "401": refuses(401, {"message": "No.", "code": "invalid_api_key"}),
    "403": refuses(403, {"message": "No."}),
    "404": refuses(404, {"message": "No.", "code": "model_not_found"}),
    "400": refuses(400, {"message": "No."}),
    "closes": is_cut,
    "resets": is_reset,
    "hangs": hangs,
    "cut after its headers": then_cut(EVENTS_HEAD),
    "is no HTTP": then_cut(b"SSH-2.0-x\r\n\r\n"),
    "breaks off": then_cut(SHORT),
}
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": CODE}]},
    "/v1/messages": {"messages": [{"role": "user", "content": CODE}], "max_tokens": 9},
    "/v1/responses": {"input": CODE},
}


# Keys


class Asked:
    """All that a double was sent, searched for canaries when the test is over."""

    def __init__(self, double, own):
        self.double, self.own = double, own

    def stolen(self, canaries):
        told = b"".join(each.head + each.body for each in self.double.requests).decode("latin-1")
        return canaries.found(told, but=self.own)


def client_headers(canaries, number=0):
    return [
        f"x-sidecar-key: {canaries['our key']}",
        f"authorization: Bearer {canaries['client bearer']}",
        f"x-api-key: {canaries['client x-api-key']}",
        f"api-key: {canaries['client api-key']}",
        f"x-goog-api-key: {canaries['client x-goog-api-key']}",
        f"proxy-authorization: Basic {canaries['client proxy']}",
        f"cookie: session={canaries['client cookie']}",
        f"x-session-id: {canaries['session']}-{number}",  # another each time: no pin that has moved
        f"x-sidecar-anything: {canaries['for us']}",
    ]


def configured(canaries, first, second, judge, interfaces, passes):
    def entry(name, double, interface, passthrough):
        return {
            "model": f"{name}/model", "name": name, "base_url": f"{double.url}/v1", "provider_interface": interface,
            "timeouts": {"first_byte": "150ms"}, "headers": {"x-extra": canaries[f"{name} header"]},
            **({"passthrough_auth": True} if passthrough else {"access_key": canaries[f"{name} key"]}),
        }  # fmt: skip

    entries = [entry(*each) for each in zip(("one", "two"), (first, second), interfaces, passes, strict=True)]
    return json.dumps(
        {
            "model_providers": entries,
            "model_aliases": {"a": {"target": "one/model"}},
            "routing_preferences": [{**ROUTE, "models": ["one/model", "two/model"]}],
            "routing": {
                "classifier": {
                    "type": "llm", "base_url": f"{judge.url}/v1", "model": "m", "access_key": canaries["judge key"],
                    "timeout": "30s",
                }
            },
            "outlier_detection": {"consecutive_5xx": 1000, "consecutive_gateway_failure": 1000},
            "listener": {"auth": {"keys": [{"name": "us", "key": canaries["our key"]}]}},
        }
    )  # fmt: skip


async def says_code(call):
    answer = {"choices": [{"message": {"role": "assistant", "content": '{"route": "code"}'}}]}
    await call.send(whole(json.dumps(answer).encode()))


async def is_well(call):
    streams = b'"stream":true' in call.request.body.replace(b" ", b"")
    events = MESSAGES_EVENTS if call.request.target.endswith("/messages") else CHAT_EVENTS
    await call.send(*(EVENTS_HEAD, *map(chunk, events), END) if streams else (whole(COMPLETION),))


@pytest.mark.parametrize("passes", [(False, False), (True, False), (False, True)], ids=["own", "first", "second"])
@pytest.mark.parametrize("interfaces", list(itertools.product(("openai", "anthropic"), repeat=2)), ids="-".join)
async def test_a_provider_sees_its_own_key_only_whatever_fails(start, interfaces, passes):
    canaries = Canaries()
    async with serving() as first, serving(is_well) as second, serving(says_code) as judge:
        sidecar = await start(configured(canaries, first, second, judge, interfaces, passes))
        failed_over = set()
        for number, ((name, story), (target, body)) in enumerate(itertools.product(FAILURES.items(), BODIES.items())):
            first.story, before, asked_first = story, len(second.requests), len(first.requests)
            data = json.dumps({"model": "auto", "stream": True, **body}).encode()
            async with connected(sidecar.port) as client:
                await client.send(request("POST", target, *client_headers(canaries, number), body=data))
                await client.heard()
            for _ in range(1000):  # on a busy machine it may be given up before it was read
                if len(first.requests) > asked_first:
                    break
                await asyncio.sleep(0.01)
            assert len(first.requests) > asked_first, f"{name} was not met"
            failed_over |= {name} if len(second.requests) > before else set()
        for path in ("embeddings", "files", "audio/speech"):  # forwarded as they are
            async with connected(sidecar.port) as client:
                await client.send(
                    request("POST", f"/v1/{path}", *client_headers(canaries), body=b'{"model": "two/model"}')
                )
                await client.heard()
        theirs = [
            {f"{name} header", "client bearer" if passing else f"{name} key"}
            for name, passing in zip(("one", "two"), passes, strict=True)
        ]
        asked = [*map(Asked, (first, second), theirs), Asked(judge, {"judge key"})]
        assert [each.stolen(canaries) for each in asked] == [[], [], []]
        assert {"500", "503", "closes", "hangs", "404"} <= failed_over
        assert all(each.double.requests for each in asked)


# Answers


async def canary_story(call):
    """Answers with what identifies who asked, in one of many ways."""
    who = call.request.one("x-who")
    ours = (f"x-canary: {who}", f"set-cookie: c={who}", f"x-canary-{who}: 1", f"etag: {who}")
    how = call.request.one("x-how")
    if how == "stream":
        await call.send(head(200, "OK", "content-type: text/event-stream", "transfer-encoding: chunked", *ours))
        await call.send(*map(chunk, CHAT_EVENTS), END)
    elif how == "slow":
        await call.send(head(200, "OK", "content-type: text/event-stream", "transfer-encoding: chunked", *ours))
        await call.send(chunk(CHAT_EVENTS[0]))
        await asyncio.sleep(0.01)
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)
    elif how == "none":
        await call.send(head(204, "Nothing", *ours))
    elif how == "not modified":
        await call.send(head(304, "Same", "content-length: 99", *ours))
    elif how == "error":
        await call.send(whole(json.dumps({"error": {"message": who}}).encode(), *ours, status=400, reason="No"))
    elif how == "cut":
        await call.send(head(200, "OK", "content-type: application/json", "content-length: 99", *ours))
        await call.cut()
    elif how == "more than it said":
        await call.send(whole(who.encode(), *ours) + whole(b"of another", "x-canary: nobody"))
    else:
        body = b"" if call.request.method == "HEAD" else who.encode()
        await call.send(head(200, "OK", "content-type: text/plain", f"content-length: {len(who)}", *ours) + body)


HOW = ("whole", "stream", "slow", "none", "not modified", "error", "cut", "more than it said", "gone", "head")


async def session(port, who, chance):
    """One client: requests of all kinds on connections that are kept. Gives what of other sessions it was told."""
    strange, kept = [], 0
    while kept < 40:
        async with connected(port) as client:
            while kept < 40:
                kept += 1
                how, mark = chance.choice(HOW), f"{who}q{kept}"
                method = "HEAD" if how == "head" else "POST"
                target = "/v1/chat/completions" if how in ("stream", "slow", "gone") else "/v1/things"
                data = json.dumps(
                    {"model": "openai/gpt", "stream": True, "messages": [{"role": "user", "content": mark}]}
                )
                sent = b"" if method == "HEAD" else data.encode()
                await client.send(
                    request(method, target, f"x-who: {mark}", f"x-how: {'slow' if how == 'gone' else how}",
                            f"x-request-id: {mark}", "content-type: application/json", body=sent)
                )  # fmt: skip
                if how == "gone":
                    await asyncio.sleep(chance.random() * 0.01)
                    client.reset()
                    break
                said = await client.heard(method)
                strange += [header for header in said.headers if is_strange(header, mark, sent_status=said.status)]
                if said.ending != "whole" or said.one("connection") == "close":
                    break
    return strange


def is_strange(header, mark, *, sent_status):
    """Whether a header speaks of another request than the one it answers."""
    name, value = header[0].lower(), header[1]
    if name in ("x-canary", "x-request-id", "etag"):
        return value != mark and not (sent_status == 502 and name == "x-canary")
    if name.startswith("x-canary-"):
        return name != f"x-canary-{mark}"
    return name == "set-cookie"


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "public"], indirect=True)
async def test_no_header_of_an_answer_reaches_another_session(start, fast_path):
    async with serving(canary_story) as provider:
        entry = {"model": "openai/gpt", "base_url": f"{provider.url}/v1", "access_key": "k", "default": True}
        breakers = {"consecutive_5xx": 1000, "consecutive_gateway_failure": 1000}
        sidecar = await start(json.dumps({"model_providers": [entry], "outlier_detection": breakers}))
        clients = [session(sidecar.port, f"s{number}", random.Random(number)) for number in range(12)]  # noqa: S311 - the same each time
        assert list(itertools.chain(*await asyncio.gather(*clients))) == []
        assert len(provider.requests) > 12 * 30
        assert provider.opened < len(provider.requests)  # connections were kept


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "public"], indirect=True)
async def test_an_answer_before_the_end_of_an_upload_is_nobody_elses(start, fast_path):
    async def early(call):
        await call.send(whole(b"early", f"x-canary: {call.request.one('x-who')}"))
        if call.request.one("x-how") == "cut":
            await call.cut()
        else:
            await call.body()

    async with serving(early, reads_body=False) as provider:
        entry = {"model": "openai/gpt", "base_url": f"{provider.url}/v1", "access_key": "k", "default": True}
        sidecar = await start(json.dumps({"model_providers": [entry]}))

        async def upload(number):
            async with connected(sidecar.port) as client:
                how = ("cut", "reads")[number % 2]
                headers = (f"x-who: u{number}", f"x-how: {how}", "content-type: application/octet-stream")
                await client.send(
                    request("POST", "/v1/files", *headers, framing="content-length: 200000") + b"x" * 100000
                )
                said = await client.heard()
            return said.one("x-canary") in (f"u{number}", None)

        for _ in range(4):
            assert all(await asyncio.gather(*map(upload, range(8))))


# Whom we call


_CONNECTED = None


def _audited(event, args):
    if _CONNECTED is not None and event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        _CONNECTED.append(args[:2] if event == "socket.getaddrinfo" else args[1][:2])


sys.addaudithook(_audited)  # which nobody can take away again; it does nothing but for the test below


def temptations(evil):
    """(request line's target, headers, what is in the body beside a question) for each way to name another place."""
    host = f"127.0.0.1:{evil}"
    chats = "/v1/chat/completions"
    for target in (
        f"http://{host}{chats}", f"https://{host}{chats}", f"http://evil.invalid{chats}", f"//{host}{chats}",
        f"///{host}{chats}", f"/v1//{host}/x", f"/v1/%2f%2f{host}/x", f"/v1/@{host}/x", f"/v1/..//{host}/x",
        f"/v1/%2e%2e/%2f{host}/x", f"/v1/\\\\{host}\\x", f"{chats}?base_url=http://{host}", f"{chats}#@{host}/",
        f"{chats}@{host}/", f"/v1/http://{host}/x", f"/v1/things;@{host}", f"http://user@{host}{chats}",
        f"http://x:1@evil.invalid{chats}", f"{host}{chats}", f"@{host}{chats}", f"/v1?http://{host}/v1/x",
        f"/v1/files/..%2f..%2f@{host}", f"gopher://{host}/v1/x", f"http:{chats}", f"http:///{host}{chats}",
    ):  # fmt: skip
        yield target, (), {}
    for name in (
        "host", "x-forwarded-host", "x-forwarded-server", "x-original-url", "x-rewrite-url", "x-host", "x-real-ip",
        "forwarded", "via", "x-forwarded-for", "x-openai-base-url", "openai-base-url", "x-base-url", "x-upstream",
        "x-sidecar-provider", "x-sidecar-model", "x-sidecar-upstream", "x-arch-llm-provider-hint", "proxy", "alt-svc",
        "x-envoy-original-dst-host", "x-http-destinationurl", "destination", "referer", "origin-url",
    ):  # fmt: skip
        for value in (host, f"http://{host}/v1", "evil.invalid"):
            yield chats, (f"{name}: {value}",), {}
    url = f"http://{host}/v1"
    for more in (
        {"model": url}, {"model": f"openai/{url}"}, {"model": f"openai/x@{host}"}, {"model": f"openai/../../{host}"},
        {"model": f"azure_openai/..//{host}"}, {"model": "azure_openai/%2e%2e%2f@evil.invalid"}, {"model": f"evil/{host}"},
        {"model": f"openai/x\r\nHost: {host}"}, {"base_url": url}, {"api_base": url}, {"endpoint": url}, {"url": url},
        {"provider": {"base_url": url}}, {"extra_body": {"base_url": url}},
        {"routing_preferences": [{**ROUTE, "models": ["openai/gpt"], "base_url": url}]},
        {"routing_preferences": [{**ROUTE, "models": [url]}]},
        {"routing_preferences": [{**ROUTE, "models": [{"model": "openai/gpt", "base_url": url}]}]},
        {"previous_response_id": url}, {"conversation": url}, {"metadata": {"base_url": url}},
        {"tools": [{"type": "mcp", "server_url": url, "server_label": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"{url}/x.png"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": f"{url}/x.png"}}]}]},
    ):  # fmt: skip
        for target, question in BODIES.items():
            yield target, (), {**question, **more}


async def test_nothing_that_a_client_sends_chooses_whom_we_call(start):
    global _CONNECTED  # noqa: PLW0603 - see the hook
    async with serving(is_well) as provider, serving() as evil:
        url = {"base_url": f"{provider.url}/v1", "access_key": "k"}
        entries = [
            {"model": "openai/*", "default": False, **url},
            {"model": "openai/gpt", "default": True, **url},
            {"model": "azure_openai/*", "base_url": provider.url, "api_version": "2024-10-21", "access_key": "k"},
            {"model": "anthropic/claude", **url},
        ]
        store = {"routing_preferences": [{**ROUTE, "models": ["openai/gpt"]}], "responses_state": {}}
        sidecar = await start(json.dumps({"model_providers": entries, **store}))
        _CONNECTED = []
        try:
            for target, headers, more in temptations(evil.port):
                for model in (None,) if "model" in more else ("openai/gpt", "anthropic/claude"):
                    said = {**(BODIES["/v1/chat/completions"] if not more else {}), "model": model, **more}
                    data = json.dumps(said).encode()
                    told = [f"content-length: {len(data)}", *headers]
                    own = [] if any(line.startswith("host:") for line in headers) else ["host: sidecar"]
                    raw = "\r\n".join([f"POST {target} HTTP/1.1", *own, *told, "connection: close", "", ""])
                    async with connected(sidecar.port) as client:
                        await client.send(raw.encode() + data)
                        await asyncio.wait_for(client.reader.read(-1), 5)
            async with connected(sidecar.port) as client:
                await client.send(
                    f"CONNECT 127.0.0.1:{evil.port} HTTP/1.1\r\nhost: 127.0.0.1:{evil.port}\r\n\r\n".encode()
                )
                await client.heard()
            connections = set(_CONNECTED)
        finally:
            _CONNECTED = None
        assert evil.opened == 0
        assert connections == {("127.0.0.1", sidecar.port), ("127.0.0.1", provider.port)}
        assert len(provider.requests) > 100
        assert {asked.one("host") for asked in provider.requests} == {f"127.0.0.1:{provider.port}"}
        assert all(asked.target.startswith(("/v1", "/openai/deployments/")) for asked in provider.requests)


def test_the_doubles_and_the_search_find_what_they_look_for():
    canaries = Canaries()
    assert canaries.found(f"x{canaries['a']}y") == ["a"]
    assert is_strange(("x-canary", "s1q1"), "s2q1", sent_status=200)
    assert not is_strange(("x-canary", "s1q1"), "s1q1", sent_status=200)
