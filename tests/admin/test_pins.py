"""The pins as operators see and move them, over real sockets."""

import asyncio
import json

import pytest
from attrs import define, field
from yarl import URL

from sidecar.admin.pins import MAX_IMPORT_BYTES, MAX_PUT_BYTES, PinsApi
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider, TtlPolicy
from sidecar.routing.decision import Failover, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores.memory import MemoryStore

GPT, MINI, CLAUDE = "openai/gpt", "openai/mini", "anthropic/claude"
UNIX_S = 1_800_000_000.0
HEADER = {"format": "sidecar-pins", "version": 1, "exported_at": "2027-01-15T08:00:00Z"}
LINE = {
    "session_id": "moved-house",
    "models": [GPT],
    "reason": "routed",
    "decided_at": "2027-01-15T07:00:00Z",
    "expires_in_seconds": 100,
}


@define
class Operator:
    """An admin port with the pins on it, the store behind it, and what was told of them; time is a number."""

    client: object
    store: MemoryStore
    told: list
    now: list = field(factory=lambda: [0.0])

    async def pin(self, session, *models, **more):
        key = session if isinstance(session, SessionKey) else SessionKey(session)
        pin = Pin(models or (GPT,), more.pop("route", None), Reason.ROUTED, UNIX_S, **more)
        await self.store.claim(key, pin)
        return pin

    async def ask(self, method, path, body=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.request(method, URL(path, encoded=True), data=data) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def refused(self, method, path, body=None):
        status, answer = await self.ask(method, path, body)
        return status, answer["error"]["code"], answer["error"]["message"]

    async def pages(self, path):
        """Every page's sessions."""
        after, found = "", []
        while after is not None:
            _, page = await self.ask("GET", f"{path}&after={after}")
            found.append([pin["session_id"] for pin in page["pins"]])
            after = page["next"]
        return found

    def pin_created(self, pin):
        self.told.append(("created", pin.model))

    def pin_moved(self, pin, why, age_s, turns):
        self.told.append(("moved", pin.model, why.value, age_s, turns))

    def pin_removed(self, reason, age_s, turns):
        self.told.append(("removed", reason, age_s, turns))


@pytest.fixture
async def begin(port):
    async def made(models=(GPT, MINI, CLAUDE), policy=TtlPolicy.SLIDING):
        now, told = [0.0], []
        table = PinTable(ttl_s=600, capacity=5000, policy=policy, removed=lambda *what: told.append(("removed", *what)))
        store = MemoryStore(table, lambda: now[0])
        catalog = Catalog.of(Config(providers=tuple(Provider(m, m) for m in models), aliases={"fast": MINI}))
        operator = Operator(None, store, told, now)
        api = PinsApi(store, lambda: catalog, lambda: frozenset({"code", "prose"}), operator, lambda: UNIX_S + now[0])
        operator.client = await port(api)
        return operator

    return made


@pytest.fixture
async def operator(begin):
    return await begin()


# Reading


async def test_the_story_of_a_session_is_told_in_full(operator):
    key = SessionKey("run-1", source="session-id")
    scores = (("code", 0.9), ("prose", 0.2))
    await operator.pin(key, CLAUDE, GPT, route="code", source="session-id", confidence=0.9, scores=scores)
    operator.now[0] = 60
    await operator.store.get(key)
    await operator.store.note(key, Failover(UNIX_S + 60, "refused", GPT))
    operator.now[0] = 90
    assert await operator.ask("GET", "/pins/run-1") == (
        200,
        {
            "session_id": "run-1",
            "tenant": "",
            "lane": "",
            "source": "session-id",
            "model": CLAUDE,
            "models": [CLAUDE, GPT],
            "route": "code",
            "reason": "routed",
            "confidence": 0.9,
            "scores": [["code", 0.9], ["prose", 0.2]],
            "decided_at": "2027-01-15T08:00:00Z",
            "age_seconds": 90.0,
            "expires_in_seconds": 570.0,
            "turns": 2,
            "mixed": False,
            "last_failover": {"at": "2027-01-15T08:01:00Z", "reason": "refused", "answered_by": GPT},
        },
    )


async def test_a_look_at_a_pin_is_no_use_of_it(operator):
    await operator.pin("a")
    operator.now[0] = 599
    await operator.ask("GET", "/pins/a")
    await operator.ask("GET", "/pins")
    operator.now[0] = 600
    assert (await operator.refused("GET", "/pins/a"))[:2] == (404, "pin_not_found")


@pytest.mark.parametrize(
    ("session", "path"),
    [
        ("a/b//c", "a/b//c"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a+b", "a+b"),
        ("what?#", "what%3F%23"),
        ('{"json":[1]}', "%7B%22json%22%3A%5B1%5D%7D"),
        ("x" * 256, "x" * 256),
    ],
)
async def test_any_session_id_has_a_path(operator, session, path):
    await operator.pin(session)
    status, story = await operator.ask("GET", f"/pins/{path}")
    assert (status, story["session_id"]) == (200, session)


@pytest.mark.parametrize("path", ["x" * 257, "a%20b", "%C3%A9", "a%0Ab"])
async def test_what_is_no_session_id_is_refused_without_being_repeated(operator, path):
    status, code, message = await operator.refused("GET", f"/pins/{path}")
    assert (status, code, path in message) == (400, "invalid_session_id", False)


async def test_tenant_and_lane_are_part_of_the_session(operator):
    await operator.pin(SessionKey("a", "acme", "main"))
    assert (await operator.refused("GET", "/pins/a"))[0] == 404
    assert (await operator.ask("GET", "/pins/a?tenant=acme&lane=main"))[1]["tenant"] == "acme"
    assert (await operator.refused("GET", "/pins/a?tenant=a%20b"))[0] == 400


@pytest.mark.parametrize("word", ["export", "import", "move"])
async def test_a_session_that_is_named_like_a_path_is_found_all_the_same(operator, word):
    await operator.pin(word)
    _, page = await operator.ask("GET", f"/pins?session_id={word}")
    assert [pin["session_id"] for pin in page["pins"]] == [word]


@pytest.mark.parametrize("path", ["/pins/import", "/pins/move"])
async def test_paths_that_change_something_answer_405_to_get(operator, path):
    assert (await operator.refused("GET", path))[:2] == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a", "b", "c"]),
        ("?model=openai/mini", ["b"]),
        ("?model=fast", ["b"]),
        ("?model=no/such", []),
        ("?route=code", ["a"]),
        ("?route=", ["b", "c"]),
        ("?source=session-id", ["c"]),
        ("?session_id=b", ["b"]),
        ("?model=openai/gpt&route=code", ["a"]),
    ],
)
async def test_pins_are_found_by_model_route_source_and_session(operator, query, found):
    await operator.pin("a", GPT, route="code")
    await operator.pin("b", MINI)
    await operator.pin("c", GPT, source="session-id")
    _, page = await operator.ask("GET", f"/pins{query}")
    assert ([pin["session_id"] for pin in page["pins"]], page["next"], page["total"]) == (found, None, 3)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=ten", "limit=-1", "limit=%C2%B2", "after=!", "modle=x"]
)
async def test_a_query_that_cannot_be_answered_is_refused(operator, query):
    assert (await operator.refused("GET", f"/pins?{query}"))[:2] == (400, "invalid_request")


async def test_pages_are_in_one_order_and_together_they_are_all(operator):
    names = [f"s{n:04}" for n in range(2500)]
    for name in reversed(names):
        await operator.pin(name)
    pages = await operator.pages("/pins?limit=1000")
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert sum(pages, []) == names  # noqa: RUF017 - three pages


async def test_a_page_begins_where_the_last_ended_though_pins_come_and_go(operator):
    for name in "bdfhj":
        await operator.pin(name)
    _, page = await operator.ask("GET", "/pins?limit=2")
    assert [pin["session_id"] for pin in page["pins"]] == ["b", "d"]
    await operator.store.delete(SessionKey("d"))  # where the next page was to go on
    await operator.pin("a")
    await operator.pin("e")
    _, page = await operator.ask("GET", f"/pins?limit=2&after={page['next']}")
    assert [pin["session_id"] for pin in page["pins"]] == ["e", "f"]


# Pinning by hand


async def test_a_session_is_pinned_by_hand(operator):
    status, told = await operator.ask("PUT", "/pins/new", {"models": ["fast", GPT, MINI], "route": "code"})
    assert (status, told["models"], told["route"], told["reason"]) == (200, [MINI, GPT], "code", "operator")
    assert (told["turns"], told["source"], told["confidence"], told["mixed"]) == (0, "operator", None, False)
    assert await operator.ask("GET", "/pins/new") == (200, told)
    assert operator.told == [("created", MINI)]


async def test_a_pin_made_by_hand_takes_the_place_of_the_one_there_was(operator):
    await operator.pin("a", GPT, source="session-id")
    operator.now[0] = 5
    _, told = await operator.ask("PUT", "/pins/a", {"model": CLAUDE})
    assert (told["model"], told["source"], told["mixed"], told["turns"]) == (CLAUDE, "session-id", True, 1)
    assert operator.told == [("moved", CLAUDE, "operator", 5.0, 1)]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, "invalid_request", "name either one model or several models"),
        ({"model": GPT, "models": [GPT]}, "invalid_request", "name either one model or several models"),
        ({"models": []}, "invalid_request", "models: Expected array of length >= 1"),
        ({"models": [GPT, 1]}, "invalid_request", "models[1]: Expected str, got int"),
        ({"models": [GPT, "no/such"]}, "invalid_request", "models[1]: no configured provider offers 'no/such'"),
        ({"model": "openai/*"}, "invalid_request", "model: no configured provider offers 'openai/*'"),
        ({"model": GPT, "route": "nowhere"}, "invalid_request", "route: no configured route has this name"),
        ({"model": GPT, "ruote": "code"}, "invalid_request", "Object contains unknown field ruote"),
        (b"", "invalid_json", "not valid JSON"),
        (b"\xff", "invalid_json", "not valid JSON"),
        (b'{"model": "\xff"}', "invalid_json", "not valid JSON"),
        (b"[" * 60_000, "invalid_request", "Expected object, got array"),
        (b'{"a":' * 10_000, "invalid_request", "unknown field a"),
        (b'{"model": "%b"}' % (b"x" * MAX_PUT_BYTES), "body_too_large", "at most 65536 bytes"),
    ],
)
async def test_a_pin_that_cannot_be_is_refused_and_changes_nothing(operator, body, code, message):
    await operator.pin("a", GPT)
    status, found, said = await operator.refused("PUT", "/pins/a", body)
    assert (status, found, message in said) == (413 if code == "body_too_large" else 400, code, True), said
    assert (await operator.store.peek(SessionKey("a"))).pin.reason is Reason.ROUTED
    assert operator.told == []


async def test_a_pin_is_forgotten_once(operator):
    await operator.pin("a")
    assert await operator.ask("DELETE", "/pins/a") == (204, None)
    assert (await operator.refused("DELETE", "/pins/a"))[:2] == (404, "pin_not_found")
    assert operator.told == [("removed", "deleted", 0.0, 1)]


# Every session off a model


@pytest.mark.parametrize("policy", TtlPolicy)
async def test_every_session_is_taken_off_a_model(begin, policy):
    operator = await begin(policy=policy)
    await operator.pin("a", GPT, MINI, CLAUDE, route="code", confidence=0.5)
    await operator.pin("b", CLAUDE, GPT)
    operator.now[0] = 10
    assert await operator.ask("POST", f"/pins/move?from={GPT}&to={CLAUDE}") == (200, {"moved": 1})
    a, b = [(await operator.store.peek(SessionKey(name))) for name in "ab"]
    assert (a.pin.candidates, a.pin.route, a.pin.confidence) == ((CLAUDE, MINI), "code", 0.5)
    assert (a.pin.reason, a.pin.mixed, a.pin.decided_at_s) == (Reason.OPERATOR, True, UNIX_S + 10)
    assert (a.expires_in_s, a.turns, a.age_s) == (590, 1, 0)  # a move is no use
    assert (b.pin.candidates, b.pin.reason) == ((CLAUDE, GPT), Reason.ROUTED)
    assert operator.told == [("moved", CLAUDE, "operator", 10.0, 1)]


async def test_sessions_are_taken_off_a_model_that_is_configured_no_more(operator):
    await operator.pin("a", "openai/retired", GPT)
    assert await operator.ask("POST", "/pins/move?from=openai/retired&to=fast") == (200, {"moved": 1})
    assert (await operator.store.peek(SessionKey("a"))).pin.candidates == (MINI, GPT)


@pytest.mark.parametrize(
    "query", ["", "from=openai/gpt", "to=openai/gpt", "from=openai/gpt&to=no/such", "from=fast&to=openai/mini", "x=1"]
)
async def test_a_move_that_makes_no_sense_is_refused(operator, query):
    assert (await operator.refused("POST", f"/pins/move?{query}"))[:2] == (400, "invalid_request")


async def test_while_thousands_are_moved_requests_go_on(operator):
    for n in range(3000):
        await operator.pin(str(n))
    moving = asyncio.ensure_future(operator.ask("POST", f"/pins/move?from={GPT}&to={MINI}"))
    seen = set()
    while not moving.done():
        seen.add(operator.store.counts_now().get(MINI, 0))
        await asyncio.sleep(0)
    assert await moving == (200, {"moved": 3000})
    assert len(seen - {0, 3000}) >= 3  # others ran in the midst of it


# From one sidecar to another


def ndjson(*lines):
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines) + b"\n"


async def exported(operator):
    async with operator.client.get("/pins/export") as answer:
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        return await answer.read()


async def test_what_one_exports_another_imports(begin):
    one, other = await begin(), await begin()
    key = SessionKey("a/b", "acme", "main", source="session-id")
    await one.pin(key, CLAUDE, GPT, route="code", source="session-id", confidence=0.9, scores=(("code", 0.9),))
    await one.store.note(key, Failover(UNIX_S, "refused", None))
    for n in range(2000):
        await one.pin(str(n))
    one.now[0] = other.now[0] = 7
    _, answer = await other.ask("POST", "/pins/import", await exported(one))
    assert answer == {"imported": 2001, "kept": 0, "refused": [], "refused_total": 0}
    assert await other.store.peek(key) == await one.store.peek(key)
    assert [key async for key, _ in other.store.scan()] == [key async for key, _ in one.store.scan()]
    assert len(other.told) == 2001


async def test_an_export_of_nothing_is_an_import_of_nothing(operator):
    text = await exported(operator)
    assert json.loads(text) == {"format": "sidecar-pins", "version": 1, "exported_at": "2027-01-15T08:00:00Z"}
    assert (await operator.ask("POST", "/pins/import", text))[1]["imported"] == 0


async def test_the_time_since_the_export_is_taken_off_a_pins_life(operator):
    operator.now[0] = 40
    await operator.ask("POST", "/pins/import", ndjson(HEADER, {**LINE, "age_seconds": 5}))
    held = await operator.store.peek(SessionKey("moved-house"))
    assert (held.expires_in_s, held.age_s) == (60, 45)


@pytest.mark.parametrize(("query", "model"), [("", CLAUDE), ("?overwrite", GPT), ("?overwrite=false", CLAUDE)])
async def test_a_session_that_has_a_pin_keeps_it_unless_told_otherwise(operator, query, model):
    await operator.pin("moved-house", CLAUDE)
    _, answer = await operator.ask("POST", f"/pins/import{query}", ndjson(HEADER, LINE))
    assert (await operator.store.peek(SessionKey("moved-house"))).pin.model == model
    assert (answer["imported"], answer["kept"]) == ((1, 0) if model == GPT else (0, 1))
    assert operator.told == ([("moved", GPT, "operator", 0.0, 1)] if model == GPT else [])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({**LINE, "models": ["no/such", GPT]}, "models[0]: no configured provider offers this model"),
        ({**LINE, "models": []}, "models: Expected array of length >= 1"),
        ({**LINE, "expires_in_seconds": 0}, "expired"),
        ({**LINE, "expires_in_seconds": -1}, "expires_in_seconds: Expected float >= 0.0"),
        ({**LINE, "session_id": "a b"}, "session_id: not visible ASCII characters"),
        ({**LINE, "reason": "because"}, "reason: Invalid enum value 'because'"),
        ({**LINE, "decided_at": "yesterday"}, "decided_at: Invalid RFC3339 encoded datetime"),
        ({**LINE, "turns": -1}, "turns: Expected int >= 0"),
        ({"session_id": "a"}, "Object missing required field models"),
        (b"not json", "not valid JSON"),
        (b'{"session_id": "\xff"}', "not valid JSON"),
        (b"[" * 30_000, "Expected object, got array"),
        (b'{"a":' * 10_000, "not readable: nested too deeply"),
        (b" " * 70_000 + b"{}", "longer than 65536 bytes"),
    ],
)
async def test_a_line_that_is_no_pin_is_refused_and_the_others_are_not(operator, line, why):
    _, answer = await operator.ask("POST", "/pins/import", ndjson(HEADER, line, b"", LINE))
    assert (answer["imported"], answer["refused"][0]["line"], answer["refused_total"]) == (1, 2, 1)
    assert why in answer["refused"][0]["why"]


async def test_a_lower_candidate_that_is_not_configured_here_is_left_out(operator):
    await operator.ask("POST", "/pins/import", ndjson(HEADER, {**LINE, "models": ["fast", "no/such", CLAUDE]}))
    assert (await operator.store.peek(SessionKey("moved-house"))).pin.candidates == (MINI, CLAUDE)


async def test_of_many_refused_lines_the_first_are_told_and_all_are_counted(operator):
    _, answer = await operator.ask("POST", "/pins/import", ndjson(HEADER, *[b"x"] * 5000, LINE))
    assert (len(answer["refused"]), answer["refused_total"], answer["imported"]) == (1000, 5000, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"{}\n",
        ndjson(LINE),
        ndjson({**HEADER, "version": 2}),
        ndjson({**HEADER, "format": "pins"}),
        b"\xff",
    ],
)
async def test_what_is_no_export_is_refused_whole(operator, body):
    status, code, message = await operator.refused("POST", "/pins/import", body)
    assert (status, code, message.startswith("line 1 must be")) == (400, "invalid_request", True)


async def test_an_import_that_is_too_large_is_refused_by_its_length(operator):
    async def endless():
        yield ndjson(HEADER)
        while True:
            yield b" " * 60_000 + b"\n"

    headers = {"content-length": str(MAX_IMPORT_BYTES + 1)}
    async with operator.client.post("/pins/import", data=endless(), headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (413, "body_too_large")


async def test_a_body_that_does_not_say_how_large_it_is_is_bounded_too(operator):
    async def endless():
        while True:
            yield b" " * 60_000

    async with operator.client.put("/pins/a", data=endless()) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (413, "body_too_large")


async def test_in_a_whole_sidecar_a_session_is_seen_moved_and_counted(start):
    sidecar = await start()
    _, first, _ = await sidecar.decide(X_Session_Id="run-1")
    async with sidecar.client.get(f"{sidecar.admin}/pins/run-1") as answer:
        story = await answer.json()
    assert (story["model"], story["source"], story["turns"]) == (first["model"], "x-session-id", 1)
    assert story["scores"][0][0] == story["route"]
    to = "openai/gpt-4o-mini"
    async with sidecar.client.post(f"{sidecar.admin}/pins/move?from={first['model']}&to={to}") as answer:
        assert await answer.json() == {"moved": 1}
    _, later, _ = await sidecar.decide(X_Session_Id="run-1")
    assert (later["model"], later["pinned"]) == (to, True)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_pins_moved_total{reason="operator"}'] == 1
    assert metrics[f'sidecar_pins{{model="{to}"}}'] == 1
