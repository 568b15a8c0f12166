"""One configuration after the other, in a sidecar that serves meanwhile."""

import asyncio
import gc
import json
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from attrs import define, evolve
from doubles import says
from provider import CHAT_EVENTS, DONE, END, EVENTS_HEAD, KEYS, before, chunk, delta, entry, refuses, serving, streams
from running import CODE, CONFIG, REASONING, Running, chat

from sidecar.config import read_text
from sidecar.listener.door import Door
from sidecar.server import serve
from sidecar.server.deciding import Reader
from sidecar.server.generation import Generation

DECIDE = "/routing/v1/chat/completions"
STREAM = chat(stream=True, model="openai/first")


@define
class Reloaded(Running):
    """`text` is what the next reload reads."""

    text: str = ""
    reads: object = None
    """What reads in the place of `again`."""

    def read(self):
        return (self.reads or self.again)()

    def again(self):
        config = read_text(self.text, "test.yaml", KEYS).config
        return evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=0))

    async def reload(self, text=None):
        """(status, JSON)."""
        self.text = self.text if text is None else text
        async with self.client.post(f"{self.admin}/reload") as answer:
            return answer.status, await answer.json()

    async def admin_json(self, path):
        async with self.client.get(f"{self.admin}{path}") as answer:
            return await answer.json()

    async def stream(self, body=None, **headers):
        async with self.client.post("/v1/chat/completions", json=body or STREAM, headers=headers) as answer:
            return answer.status, await answer.read()

    async def model(self, session, prompt=CODE):
        status, body, _ = await self.decide(chat(prompt), x_session_id=session)
        assert status == 200, body
        return body["model"]


@pytest.fixture
async def reloading():
    async with AsyncExitStack() as stack:

        async def begin(text=CONFIG):
            made = Reloaded(None, "", 0, text)
            started = await stack.enter_async_context(serve(made.again(), again=made.read))
            made.client = await stack.enter_async_context(
                aiohttp.ClientSession(
                    f"http://127.0.0.1:{started.listener[1]}", connector=aiohttp.TCPConnector(limit=0)
                )
            )
            made.admin, made.port = f"http://127.0.0.1:{started.admin[1]}", started.listener[1]
            return made

        yield begin


def with_routes(*routes):
    """Three models and these routes: (name, description, model)."""
    models = [{"model": f"openai/{name}"} for name in ("one", "two", "three")]
    models[0]["default"] = True
    given = [{"name": name, "description": about, "models": [model]} for name, about, model in routes]
    return json.dumps({"model_providers": models, "routing_preferences": given})


WRITING = ("code", "generating new code, writing functions, or creating boilerplate", "openai/two")


# What a new configuration changes


async def test_new_routes_decide_for_new_sessions_and_pins_live_on(reloading):
    sidecar = await reloading(with_routes(WRITING))
    assert await sidecar.model("old") == "openai/two"
    assert await sidecar.reload(with_routes((*WRITING[:2], "openai/three"))) == (
        200, {"generation": 2, "needs_restart": []},
    )  # fmt: skip
    assert (await sidecar.model("old"), await sidecar.model("new")) == ("openai/two", "openai/three")


async def test_a_pin_whose_model_is_gone_is_routed_anew_and_says_why(reloading):
    sidecar = await reloading()
    was = await sidecar.model("s")
    await sidecar.reload(with_routes(WRITING))
    _, body, _ = await sidecar.decide(x_session_id="s")
    assert (was, body["model"], body["reason"]) == ("anthropic/claude-sonnet", "openai/two", "model_gone")
    assert (await sidecar.decide(x_session_id="s"))[1]["pinned"] is True


async def test_examples_and_the_threshold_change_verdicts(reloading):
    routes = [
        {"name": "birds", "description": "feathered animals", "models": ["openai/gpt-4o"]},
        {"name": "ships", "description": "vessels at sea", "models": ["anthropic/claude-sonnet"]},
    ]
    text = CONFIG.partition("routing_preferences")[0]

    question = chat("Please look at the zorbulator, it flummoxes again")
    sidecar = await reloading(f"{text}routing_preferences: {json.dumps(routes)}\n")
    assert (await sidecar.decide(question))[1]["route"] is None
    routes[1]["examples"] = ["look at the zorbulator", "the zorbulator flummoxes again"]
    await sidecar.reload(f"{text}routing_preferences: {json.dumps(routes)}\n")
    assert (await sidecar.decide(question))[1]["route"] == "ships"
    await sidecar.reload(
        f"{text}routing_preferences: {json.dumps(routes)}\nrouting: {{classifier: {{threshold: 1.0}}}}\n"
    )
    assert (await sidecar.decide(question))[1]["route"] is None


async def test_time_to_live_and_size_change_for_pins_that_are_there(reloading):
    sidecar = await reloading()
    for session in "abc":
        await sidecar.model(session)
    await sidecar.reload(CONFIG + "routing: {session_ttl_seconds: 60, session_max_entries: 2}\n")
    pins = (await sidecar.admin_json("/pins"))["pins"]
    assert {each["session_id"] for each in pins} == {"b", "c"}
    assert all(59 <= each["expires_in_seconds"] <= 60 for each in pins), pins
    assert (await sidecar.decide(x_session_id="b"))[1]["expires_in"] == 60
    assert (await sidecar.metrics())["sidecar_pins_limit"] == 2


async def test_a_providers_address_key_and_headers_change(reloading):
    async with serving(streams(*CHAT_EVENTS)) as old, serving(streams(*CHAT_EVENTS)) as new:
        sidecar = await reloading(before(entry(old)))
        await sidecar.stream()
        await sidecar.reload(before(entry(new, access_key="another-key", headers={"x-team": "blue"})))
        assert (await sidecar.stream())[0] == 200
        assert (len(old.requests), len(new.requests)) == (1, 1)
        assert (new.last.one("authorization"), new.last.one("x-team")) == ("Bearer another-key", "blue")


async def test_outlier_detection_changes_and_an_ejected_provider_stays_so_until_it_moves(reloading):
    async with serving(refuses(503, {"message": "no"})) as ill, serving(streams(*CHAT_EVENTS)) as well:
        few = {"consecutive_5xx": 3, "consecutive_gateway_failure": 3}
        sidecar = await reloading(before(entry(ill), routing={"max_attempts": 1}))

        async def ejected():
            return (await sidecar.metrics())['sidecar_upstream_ejected{provider="openai/first"}']

        await sidecar.stream()
        await sidecar.stream()
        assert await ejected() == 0
        await sidecar.reload(before(entry(ill), outlier_detection=few))
        await sidecar.stream()
        assert await ejected() == 1
        await sidecar.reload(before(entry(ill)))
        assert await ejected() == 1
        await sidecar.reload(before(entry(well)))
        assert await ejected() == 0


async def test_circuit_breakers_change_and_let_in_at_once_who_waits(reloading):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD)
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS), END)

    async with serving(story) as provider:
        sidecar = await reloading(before(entry(provider), circuit_breakers={"max_requests": 1}))
        asking = [asyncio.ensure_future(sidecar.stream()) for _ in range(3)]
        await sidecar.shows('sidecar_upstream_requests_pending{provider="openai/first"}', 2)
        await sidecar.reload(before(entry(provider), circuit_breakers={"max_requests": 3}))
        await sidecar.shows('sidecar_upstream_requests_active{provider="openai/first"}', 3)
        gate.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 3


async def test_new_names_have_labels_of_their_own_in_the_metrics(reloading):
    sidecar = await reloading()
    await sidecar.reload(with_routes(WRITING))
    await sidecar.model("s")
    found = await sidecar.shows('sidecar_pins{model="openai/two"}', 1)
    assert any('route="code"' in name for name in found)


async def test_the_admin_port_shows_the_configuration_in_force(reloading):
    sidecar = await reloading()
    await sidecar.reload(with_routes(WRITING))
    info, dump = await sidecar.admin_json("/server_info"), await sidecar.admin_json("/config_dump")
    assert (info["config"]["generation"], info["routes"]) == (2, ["code"])
    assert [route["name"] for route in dump["routes"]] == ["code"]
    async with sidecar.client.get(f"{sidecar.admin}/ready?verbose") as answer:
        assert "[+] config: generation 2\n" in await answer.text()
    clusters = (await sidecar.admin_json("/clusters?format=json"))["clusters"]
    assert {each["name"] for each in clusters} == {"openai/one", "openai/two", "openai/three"}


async def test_a_refused_one_changes_nothing_and_shows(reloading):
    sidecar = await reloading()
    status, body = await sidecar.reload("modell_providers: []\nworkers: many\n")
    assert (status, body["error"]["code"]) == (422, "config_refused")
    assert "test.yaml:1" in body["error"]["message"]
    assert "test.yaml:2" in body["error"]["message"]
    assert await sidecar.model("s") == "anthropic/claude-sonnet"
    async with sidecar.client.get(f"{sidecar.admin}/ready?verbose") as answer:
        assert "[-] config: generation 1; a newer one is refused, and the log says why\n" in await answer.text()
        assert answer.status == 200
    found = await sidecar.metrics()
    assert (found["sidecar_config_generation"], found["sidecar_config_last_reload_successful"]) == (1, 0)
    assert found['sidecar_config_reloads_total{outcome="refused"}'] == 1


async def test_one_whose_part_cannot_be_made_leaves_nothing_behind(reloading):
    sidecar = await reloading()
    await sidecar.reload()  # the admin port's connection has a task too
    tasks = len(asyncio.all_tasks())
    text = CONFIG + "routing: {classifier: {type: embeddings, base_url: 'http://c/v1', model: m}}\n"
    made = sidecar.again

    def broken():
        config = made()
        return evolve(config, routing=evolve(config.routing, classifier=evolve(config.routing.classifier, model=None)))

    sidecar.reads = broken
    status, body = await sidecar.reload(text)
    assert (status, "needs base_url and model" in body["error"]["message"]) == (422, True)
    assert len(asyncio.all_tasks()) == tasks
    assert await sidecar.model("s") == "anthropic/claude-sonnet"


async def test_the_log_level_changes_and_what_was_said_of_single_loggers_ends(reloading):
    ours, root = logging.getLogger("sidecar.telemetry"), logging.getLogger()
    level = root.level
    try:
        sidecar = await reloading()
        ours.setLevel(logging.CRITICAL)
        await sidecar.reload(CONFIG + "workers: 1\n")
        assert ours.level == logging.CRITICAL  # the file says nothing new about it
        await sidecar.reload(CONFIG + "telemetry: {log_level: error}\n")
        assert (root.level, ours.getEffectiveLevel()) == (logging.ERROR, logging.ERROR)
    finally:
        root.setLevel(level)
        ours.setLevel(logging.NOTSET)


# Requests that are under way


async def test_a_running_stream_keeps_its_provider_and_ends(reloading):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(delta("old ")))
        await gate.wait()
        await call.send(chunk(delta("to the end")), chunk(DONE), END)

    async with serving(story) as old, serving(streams(delta("new"), DONE)) as new:
        sidecar = await reloading(before(entry(old)))
        async with sidecar.client.post("/v1/chat/completions", json=STREAM) as answer:
            first = await answer.content.readany()
            await sidecar.reload(before(entry(new)))
            assert b"new" in (await sidecar.stream())[1]
            gate.set()
            told = first + await answer.read()
        assert [word in told for word in (b"old ", b"to the end", b"new")] == [True, True, False]
        assert len(old.requests) == len(new.requests) == 1


def reasoning_after(gate):
    """An endpoint that says so once `gate` is open."""

    async def behave(request):
        await gate.wait()
        return await says('{"route": "complex_reasoning"}')(request)

    return behave


@pytest.mark.parametrize("kind", ["llm", "embeddings"])
async def test_a_classifiers_session_is_closed_when_its_last_request_is_over(reloading, endpoint, kind):
    gate, sessions = asyncio.Event(), _sessions()
    endpoint.behave = reasoning_after(gate)
    sidecar = await reloading(endpoint.classifier(type=kind))
    asking = asyncio.ensure_future(sidecar.model("s"))
    while not endpoint.asked:  # noqa: ASYNC110 - the double tells nobody
        await asyncio.sleep(0.001)
    await sidecar.reload(CONFIG)
    assert await sidecar.model("another") == "anthropic/claude-sonnet"
    (session,) = [each for each in _sessions() if each not in sessions and each is not sidecar.client]
    assert not session.closed
    gate.set()
    assert await asking in ("openai/gpt-4o", "openai/gpt-4o-mini")
    async with asyncio.timeout(10):
        while not session.closed:  # noqa: ASYNC110 - looked at each second, and tells nobody
            await asyncio.sleep(0.01)


def _sessions():
    return [each for each in gc.get_objects() if isinstance(each, aiohttp.ClientSession)]


async def test_a_first_turn_before_and_one_after_the_change_ask_once_and_agree(reloading, endpoint):
    gate = asyncio.Event()
    endpoint.behave = reasoning_after(gate)
    sidecar = await reloading(endpoint.classifier())
    earlier = asyncio.ensure_future(sidecar.model("s"))
    while not endpoint.asked:  # noqa: ASYNC110 - the double tells nobody
        await asyncio.sleep(0.001)
    await sidecar.reload(endpoint.classifier(timeout="9s"))
    later = asyncio.ensure_future(sidecar.model("s"))
    await sidecar.shows("sidecar_pin_flights_waiting", 1)
    gate.set()
    assert await earlier == await later == "openai/gpt-4o"
    assert len(endpoint.asked) == 1


async def test_a_client_that_hangs_up_does_not_take_the_classifier_from_those_who_wait(reloading, endpoint):
    """The first turn goes on in a task of its own, with the classifier of the configuration that it began under."""
    gate = asyncio.Event()
    endpoint.behave = reasoning_after(gate)
    sidecar = await reloading(endpoint.classifier(timeout="9s"))
    leader = asyncio.ensure_future(sidecar.model("s"))
    while not endpoint.asked:  # noqa: ASYNC110 - the double tells nobody
        await asyncio.sleep(0.001)
    waiting = asyncio.ensure_future(sidecar.model("s"))
    await sidecar.shows("sidecar_pin_flights_waiting", 1)
    for asking in (leader, waiting):
        asking.cancel()
    await sidecar.shows('sidecar_http_requests_in_flight{endpoint="/routing/v1/chat/completions"}', 0)
    await sidecar.reload(CONFIG)
    later = asyncio.ensure_future(sidecar.model("s"))
    await sidecar.shows("sidecar_pin_flights_waiting", 1)
    gate.set()
    assert await later == "openai/gpt-4o"


# Under load


async def test_under_load_no_request_fails_and_none_sees_half_of_two(reloading):  # noqa: C901 - four kinds of client
    """A and B have no model and no route in common but one; a session on that one keeps it throughout."""

    async def story(call):
        wanted = call.request.json["model"]
        await call.send(EVENTS_HEAD, chunk(delta(f"{wanted} ")))
        await asyncio.sleep(0.02)
        await call.send(chunk(delta(wanted)), chunk(DONE), END)

    async with serving(story) as provider:

        def config(name, **routing):
            models = [entry(provider, f"openai/{name}"), entry(provider, "openai/common")]
            about = "generating new code, writing functions, or creating boilerplate"
            routes = [{"name": f"code_{name}", "description": about, "models": [f"openai/{name}"]}]
            return before(*models, routing_preferences=routes, routing=routing)

        texts = [config("a"), config("b", session_ttl_seconds=60, session_max_entries=5000)]
        sidecar = await reloading(texts[0])
        await sidecar.decide(chat("hello", model="openai/common"), x_session_id="kept")
        over, counted, seen = asyncio.Event(), 0, set()

        async def decides(number):
            nonlocal counted
            while not over.is_set():
                status, body, _ = await sidecar.decide(
                    chat(model="openai/common"), x_session_id=f"s{number}-{counted % 7}"
                )
                seen.add((status, body["route"], body["model"]))
                counted += 1

        async def talks():
            nonlocal counted
            while not over.is_set():
                async with sidecar.client.post(
                    "/v1/chat/completions", json=chat(stream=True, model="openai/common")
                ) as answer:
                    told = await answer.read()
                    model = answer.headers["x-sidecar-model"].partition("/")[2]
                    assert answer.status == 200
                    assert told.count(model.encode()) >= 2, told
                    assert b"[DONE]" in told
                counted += 1

        async def keeps():
            while not over.is_set():
                assert await sidecar.model("kept", REASONING) == "openai/common"

        async def reloads():
            for number in range(20):
                while counted <= 10 * number:  # noqa: ASYNC110 - so that there is a load
                    await asyncio.sleep(0.01)
                assert (await sidecar.reload(texts[(number + 1) % 2]))[0] == 200
            over.set()

        async with asyncio.timeout(60):
            await asyncio.gather(reloads(), keeps(), *(decides(n) for n in range(4)), *(talks() for _ in range(4)))
        assert seen == {(200, "code_a", "openai/a"), (200, "code_b", "openai/b")}
        found = await sidecar.metrics()
        assert found['sidecar_config_reloads_total{outcome="success"}'] == 20


async def test_many_reloads_leave_nothing_behind(reloading, endpoint):
    sidecar = await reloading(endpoint.classifier())

    async def alive():
        await sidecar.model("s")
        gc.collect()
        kinds = (Door, Generation, aiohttp.ClientSession)
        found = [sum(isinstance(each, kind) for each in gc.get_objects()) for kind in kinds]
        return found, len(asyncio.all_tasks()), _open_files()

    async def reloads(count):
        for number in range(count):
            models = json.dumps([{"model": f"openai/m{number}", "default": True}])
            await sidecar.reload((f"model_providers: {models}", CONFIG, endpoint.classifier())[number % 3])

    at_the_start = await alive()
    await reloads(3)
    after_three = await alive()
    assert after_three[0] == at_the_start[0]  # the first is gone too
    await reloads(201)
    assert await alive() == after_three


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


# The classifier that is in this process


async def test_routes_are_read_beside_the_loop_and_weights_once():
    routes = read_text(CONFIG, "test.yaml", {}).config.routes
    many = tuple(
        evolve(route, name=f"{route.name}_{n}", description=f"{route.description} {n}")
        for n in range(40)
        for route in routes
    )
    reader, turns = Reader(), 0

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.ensure_future(turn())
    first = await reader.ready(None, routes)
    one = turns
    second = await reader.ready(0.9, many)
    two = turns - one
    turning.cancel()
    assert (one > 5, two > 5, first.known is second.known) == (True, True, True)
