"""Who may call: keys and certificates, what of them goes on, and what a caller's name is for."""

import asyncio
import json

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from provider import answers, serving
from rawclient import connected, request
from running import CONFIG, chat

from sidecar.config.models import Auth, ClientKey, Secret
from sidecar.errors import InvalidApiKey
from sidecar.listener.admission import Admission, named
from sidecar.telemetry.record import Caller

PLANNER = "planner-key-0123456789"
REVIEWER = "reviewer-key-0123456789"
KEYS = f"""
listener:
  auth:
    keys:
      - {{name: planner, key: {PLANNER}}}
      - {{name: reviewer, key: {REVIEWER}}}
"""
CHAT = json.dumps(chat()).encode()


async def ask(port, *headers, method="POST", target="/routing/v1/chat/completions", body=CHAT):
    async with connected(port) as client:
        await client.send(request(method, target, *headers, body=body))
        return await client.heard(method)


@pytest.mark.parametrize(
    "header",
    [
        f"authorization: Bearer {PLANNER}",
        f"Authorization: bearer  {PLANNER} ",
        f"authorization: {PLANNER}",
        f"x-api-key: {PLANNER}",
        f"api-key: {PLANNER}",
        f"X-Sidecar-Key: {PLANNER}",
    ],
)
async def test_a_key_lets_in_whichever_header_it_comes_in(start, header):
    sidecar = await start(CONFIG + KEYS)
    assert (await ask(sidecar.port, header)).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "x-nothing: 1",
        "authorization: Bearer",
        f"authorization: Bearer {PLANNER}x",
        f"authorization: Bearer {PLANNER[:-1]}",
        f"authorization: Bearer {PLANNER.upper()}",
        "authorization: Basic cGxhbm5lcjo=",
        "x-api-key: planner",
        f"cookie: {PLANNER}",
        f"x-sidecar-caller: {PLANNER}",
        "x-sidecar-caller: planner",
        "authorization: Bearer caf\u00e9",
    ],
)
async def test_without_a_good_key_nothing_is_answered(start, header):
    sidecar = await start(CONFIG + KEYS)
    assert (await ask(sidecar.port, header)).status == 401


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/models"),
        ("HEAD", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/files/x"),
        ("POST", "/routing/v1/messages"),
        ("GET", "/api/hello"),
        ("GET", "/nothing"),
        ("GET", "/healthz/"),
        ("GET", "http://evil.example/v1/models"),
        ("GET", "//healthz"),
        ("GET", "/healthz/../v1/models"),
        ("POST", "/v1%2fmodels"),
    ],
)
async def test_every_path_is_guarded(start, method, target):
    sidecar = await start(CONFIG + KEYS)
    assert (await ask(sidecar.port, method=method, target=target)).status == 401


async def test_health_and_a_browsers_first_question_need_no_key(start):
    sidecar = await start(CONFIG + KEYS)
    assert (await ask(sidecar.port, method="GET", target="/healthz", body=b"")).status == 200
    assert (await ask(sidecar.port, method="OPTIONS", target="/v1/chat/completions", body=b"")).status == 204


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "public"], indirect=True)
async def test_the_refusal_has_the_clients_own_shape_and_leaves_the_body_unread(start, fast_path):
    sidecar = await start(CONFIG + KEYS)
    said = await ask(sidecar.port)
    assert said.json["error"]["code"] == "invalid_api_key"
    assert said.one("www-authenticate") == 'Bearer realm="sidecar"'
    assert said.one("x-sidecar-error") == "invalid_api_key"
    wrong = await ask(sidecar.port, "x-api-key: wrong", target="/v1/messages")
    assert wrong.json["error"]["type"] == "authentication_error"
    assert wrong.one("www-authenticate") == 'Bearer realm="sidecar", error="invalid_token"'
    async with connected(sidecar.port) as client:
        await client.send(request("POST", "/v1/messages", framing="content-length: 1000000"))
        unread = await client.heard()
        assert (unread.status, unread.one("connection")) == (401, "close")
    async with connected(sidecar.port) as client:
        await client.send(request("POST", "/v1/messages", "expect: 100-continue", framing="content-length: 9"))
        assert (await client.heard()).status == 401  # and no 100 before it
    assert (await sidecar.metrics())['sidecar_errors_total{code="invalid_api_key"}'] == 4


async def test_a_connection_is_not_let_in_but_each_of_its_requests(start):
    sidecar = await start(CONFIG + KEYS)
    async with connected(sidecar.port) as client:
        statuses = []
        for header in (f"x-api-key: {PLANNER}", "x-api-key: no", f"x-api-key: {REVIEWER}"):
            await client.send(request("POST", "/routing/v1/chat/completions", header, body=CHAT))
            statuses.append((await client.heard()).status)
            if statuses[-1] == 401:
                break
    assert statuses[:2] == [200, 401]


async def written(log, count):
    """The lines of a log, when there are so many: a thread writes them."""
    for _ in range(500):
        if len(lines := log.read_text().splitlines()) >= count:
            return [json.loads(line) for line in lines]
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(lines)} lines only")


async def test_the_callers_name_is_counted_and_logged(start, tmp_path):
    log = tmp_path / "access.log"
    sidecar = await start(f"{CONFIG}{KEYS}\ntelemetry: {{access_log: {log}}}\n")
    await ask(sidecar.port, f"x-api-key: {PLANNER}")
    await ask(sidecar.port, f"x-api-key: {REVIEWER}", body=b"{")
    await ask(sidecar.port, "x-api-key: wrong")
    await sidecar.shows('sidecar_errors_total{code="invalid_api_key"}', 1)
    found = await sidecar.metrics()
    assert found['sidecar_caller_requests_total{caller="planner",status="2xx"}'] == 1
    assert found['sidecar_caller_requests_total{caller="reviewer",status="4xx"}'] == 1
    lines = await written(log, 3)
    assert [line.get("caller") for line in lines] == ["planner", "reviewer", None]
    assert "-key-" not in log.read_text()


SCOPED = "\nrouting: {session_scope: caller, session_cache: {tenant_header: x-tenant, trusted_peers: [127.0.0.1]}}\n"


async def lookups(sidecar, *callers):
    """What becomes of each caller's look for one and the same session."""
    found = []
    for headers in callers:
        answer = await ask(sidecar.port, "x-session-id: s", *headers)
        found.append((answer.one("x-sidecar-pin") or "").partition(";")[0])
    return found


async def test_sessions_are_the_callers_by_name_so_another_key_keeps_them(start):
    rotated = KEYS + "      - {name: planner-new, key: another-key-0123456789}\n"
    sidecar = await start(CONFIG + rotated + SCOPED)
    planner, reviewer = f"x-api-key: {PLANNER}", f"x-api-key: {REVIEWER}"
    assert await lookups(sidecar, [planner], [planner], [reviewer], [reviewer]) == ["miss", "hit", "miss", "hit"]
    spoofed = [planner, "x-sidecar-caller: reviewer", "authorization: Bearer something-else"]
    assert await lookups(sidecar, spoofed) == ["hit"]
    async with sidecar.client.get(f"{sidecar.admin}/pins") as answer:
        tenants = {pin["tenant"] for pin in (await answer.json())["pins"]}
    assert tenants == {"caller:planner", "caller:reviewer"}  # names and no hashes: whatever the key


async def test_a_trusted_gateways_tenant_still_wins(start):
    sidecar = await start(CONFIG + KEYS + SCOPED)
    planner, reviewer = f"x-api-key: {PLANNER}", f"x-api-key: {REVIEWER}"
    assert await lookups(sidecar, [planner, "x-tenant: a"], [reviewer, "x-tenant: a"]) == ["miss", "hit"]


async def test_without_auth_a_header_names_no_caller(start):
    sidecar = await start(CONFIG + SCOPED)
    one, other = (["authorization: Bearer k", f"x-sidecar-caller: {name}"] for name in ("a", "b"))
    assert await lookups(sidecar, one, other) == ["miss", "hit"]


def passing(url):
    """The provider gets the client's own key."""
    entry = {"model": "openai/gpt", "base_url": f"{url}/v1", "passthrough_auth": True, "default": True}
    keys = [{"name": "planner", "key": PLANNER}, {"name": "reviewer", "key": REVIEWER}]
    return json.dumps({"model_providers": [entry], "listener": {"auth": {"keys": keys}}})


@pytest.mark.parametrize(
    ("headers", "gets"),
    [
        ([f"x-sidecar-key: {PLANNER}", "authorization: Bearer theirs"], "Bearer theirs"),
        ([f"x-sidecar-key: {PLANNER}", "x-api-key: theirs"], "Bearer theirs"),
        ([f"x-api-key: {PLANNER}", "authorization: Bearer theirs"], "Bearer theirs"),
        ([f"authorization: Bearer {PLANNER}"], None),
        ([f"x-sidecar-key: {PLANNER}", f"authorization: Bearer {PLANNER}"], None),
        ([f"x-sidecar-key: {PLANNER}", f"authorization: Bearer {REVIEWER}"], None),
        ([f"x-sidecar-key: {PLANNER}", f"authorization: Bearer\t{PLANNER}"], None),
        ([f"x-sidecar-key: {PLANNER}", f"authorization: Token {PLANNER}", f"api-key: {REVIEWER}"], None),
        ([f"x-sidecar-key: {PLANNER}", f"x-goog-api-key: {PLANNER}"], None),
        ([f"x-api-key: theirs\r\nx-api-key: {PLANNER}"], None),
    ],
)
@pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"])
async def test_what_lets_a_client_in_is_never_sent_on(start, headers, gets, target):
    async with serving() as provider:
        sidecar = await start(passing(provider.url))
        body = json.dumps(
            {"model": "openai/gpt", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        ).encode()
        await ask(sidecar.port, *headers, target=target, body=body)
        assert provider.last.one("authorization") == gets
        assert PLANNER.encode() not in provider.last.head
        assert REVIEWER.encode() not in provider.last.head
        assert b"x-sidecar" not in provider.last.head.lower()


async def test_a_provider_that_repeats_our_refusal_is_not_taken_for_us(start):
    async with serving(answers(b"{}", "www-authenticate: Basic", status=401, reason="No")) as provider:
        sidecar = await start(passing(provider.url))
        body = json.dumps({**chat(), "model": "openai/gpt"}).encode()
        said = await ask(sidecar.port, f"x-sidecar-key: {PLANNER}", target="/v1/chat/completions", body=body)
    assert (said.status, said.one("x-sidecar-error")) == (401, None)


@pytest.mark.parametrize("ours", ["x-sidecar-key", "x-api-key", "authorization"])
async def test_a_head_that_is_known_lets_in_as_it_did_and_its_key_still_stays_here(start, ours):
    """It is known from its third time on."""
    async with serving() as provider:
        sidecar = await start(passing(provider.url))
        body = json.dumps({**chat(), "model": "openai/gpt"}).encode()
        theirs = "authorization: Bearer theirs" if ours != "authorization" else "x-api-key: theirs"
        async with connected(sidecar.port) as client:
            for key, status in [(PLANNER, 200)] * 5 + [(REVIEWER, 200)] * 4:
                await client.send(request("POST", "/v1/chat/completions", f"{ours}: {key}", theirs, body=body))
                assert (await client.heard()).status == status
        for _ in range(4):
            said = await ask(sidecar.port, f"{ours}: nobodys", theirs, target="/v1/chat/completions", body=body)
            assert said.status == 401
    assert [received.one("authorization") for received in provider.requests] == ["Bearer theirs"] * 9
    assert not any(key.encode() in received.head for key in (PLANNER, REVIEWER) for received in provider.requests)


# By itself


class Asked:
    """As much of a request as is looked at."""

    method, path, raw_path = "GET", "/", "/"
    version = remote = content = whole = transport = head = session = None

    def __init__(self, *headers):
        self.headers = CIMultiDictProxy(CIMultiDict(headers))


def keyed(**keys):
    return Admission(Auth(tuple(ClientKey(name, Secret(value)) for name, value in keys.items())))


def test_a_key_that_waits_for_its_file_lets_nobody_in():
    waiting = keyed(planner=None, empty="")
    for value in ("", "None", "Bearer", "Bearer "):
        with pytest.raises(InvalidApiKey):
            waiting.admit(Asked(("authorization", value)))


def test_a_key_may_have_spaces():
    admission = keyed(planner="my key has spaces in it")
    for value in ("Bearer my key has spaces in it", "my key has spaces in it"):
        assert admission.admit(Asked(("authorization", value))).caller.name == "planner"


def test_no_message_holds_what_the_client_sent():
    with pytest.raises(InvalidApiKey) as refused:
        keyed(planner=PLANNER).admit(Asked(("authorization", f"Bearer {REVIEWER}")))
    assert REVIEWER not in f"{refused.value} {refused.value.challenge} {refused.value.__dict__}"


def test_the_message_names_both_ways_where_there_are_two():
    both = Admission(Auth((ClientKey("planner", Secret(PLANNER)),), client_certificates=True))
    with pytest.raises(InvalidApiKey, match="or x-sidecar-key, or a certificate with a name that may call"):
        both.admit(Asked())


def test_of_several_keys_the_one_that_is_for_us_alone_counts_first():
    admitted = keyed(a="key-of-a", b="key-of-b").admit(
        Asked(("authorization", "key-of-a"), ("x-sidecar-key", "key-of-b"))
    )
    assert admitted.caller == Caller("b", "b")
    assert list(admitted.headers) == ["x-sidecar-caller"]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (("DNS", "a.agents.svc"), "*.agents.svc"),
        (("DNS", "A.Agents.svc"), "a.agents.SVC"),
        (("DNS", "x.a.svc"), "x.*.svc"),
        (("URI", "spiffe://cluster.local/ns/agents/sa/x"), "spiffe://cluster.local/ns/agents/*"),
        (("URI", "spiffe://c/x"), "spiffe://c/x"),
        (("email", "me@Example.com"), "me@example.COM"),
        (("IP Address", "10.0.0.1"), "10.0.0.1"),
        (("IP Address", "0:0:0:0:0:0:0:1\n"), "::1"),
    ],
)
def test_a_certificates_name_matches(name, pattern):
    assert named((("DNS", "other"), name), ("nothing", pattern)) == Caller(name[1], pattern)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (("DNS", "a.b.agents.svc"), "*.agents.svc"),
        (("DNS", "agents.svc"), "*.agents.svc"),
        (("DNS", ".agents.svc"), "*.agents.svc"),
        (("DNS", "*.agents.svc"), "*.agents.svc"),
        (("DNS", "aagents.svc"), "*agents.svc"),
        (("DNS", "a.agents.svc.evil"), "*.agents.svc"),
        (("DNS", "spiffe://c/x"), "spiffe://c/*"),
        (("URI", "spiffe://c/"), "spiffe://c/*"),
        (("URI", "spiffe://cc/x"), "spiffe://c/*"),
        (("URI", "a.svc"), "*.svc"),
        (("email", "Me@example.com"), "me@example.com"),
        (("email", "me@evil.example.com"), "me@example.com"),
        (("email", "example.com"), "@example.com"),
        (("IP Address", "10.0.0.11"), "10.0.0.1"),
        (("DirName", (("commonName", "x"),)), "x"),
        (("Registered ID", "1.2"), "1.2"),
    ],
)
def test_a_certificates_name_does_not_match(name, pattern):
    assert named((name,), (pattern,)) is None


def test_without_patterns_any_name_will_do_and_none_will_not():
    assert named((("DirName", ()), ("URI", "spiffe://c/x")), ()) == Caller("spiffe://c/x", "*")
    assert named((), ()) is None
