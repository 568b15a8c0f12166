"""Dry runs: what would be decided, and that nothing comes of asking."""

import json

import pytest
from running import CODE, CONFIG, REASONING, chat

from sidecar.admin.dryrun import MAX_PREFERENCES_BYTES

CLAUDE = "anthropic/claude-sonnet"


async def route(sidecar, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with sidecar.client.post(f"{sidecar.admin}/route", data=data) as answer:
        return answer.status, await answer.json()


async def refused(sidecar, body):
    status, answer = await route(sidecar, body)
    return status, answer["error"]["code"], answer["error"]["message"]


async def test_a_text_is_decided_as_a_request_would_be(start):
    sidecar = await start()
    status, told = await route(sidecar, {"text": CODE})
    assert (status, told["model"], told["models"]) == (200, CLAUDE, [CLAUDE, "openai/gpt-4o"])
    assert (told["route"], told["reason"], told["pinned"]) == ("code_generation", "routed", False)
    assert 0 < told["confidence"] <= 1
    assert told["scores"][0][0] == "code_generation"
    assert 0 < told["seconds"] < 5


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": CODE}]},
        chat(stream=True, temperature=0.5),
        chat([{"type": "text", "text": CODE}]),
    ],
)
async def test_a_chat_completion_is_decided_as_it_would_be(start, body):
    sidecar = await start()
    _, told = await route(sidecar, body)
    _, decided, _ = await sidecar.decide(body)
    assert (told["model"], told["route"], told["reason"]) == (CLAUDE, decided["route"], decided["reason"])


async def test_the_routes_that_a_request_brings_along_count(start):
    inline = [{"name": "mine", "description": "writing code, functions", "models": ["fast"]}]
    _, told = await route(await start(), chat(routing_preferences=inline))
    assert (told["route"], told["model"]) == ("mine", "openai/gpt-4o-mini")


async def test_nothing_is_pinned_and_nothing_is_counted(start):
    sidecar = await start()
    await sidecar.decide(X_Session_Id="run-1")
    before = {name: value for name, value in (await sidecar.metrics()).items() if is_ours(name)}
    for body in ({"text": CODE, "session_id": "new"}, {"text": CODE, "session_id": "run-1"}, {"text": CODE}):
        await route(sidecar, body)
    after = {name: value for name, value in (await sidecar.metrics()).items() if is_ours(name)}
    assert after == before
    async with sidecar.client.get(f"{sidecar.admin}/pins") as answer:
        assert [pin["turns"] for pin in (await answer.json())["pins"]] == [1]


def is_ours(name):
    """What requests move, and not what the sidecar is or how its loop turns."""
    return name.startswith(("sidecar_pin", "sidecar_class", "sidecar_decisions", "sidecar_store", "sidecar_http"))


async def test_a_session_that_has_a_pin_is_answered_by_it_and_shows_why_it_was_made(start):
    sidecar = await start()
    await sidecar.decide(X_Session_Id="run-1")
    _, told = await route(sidecar, {"text": REASONING, "session_id": "run-1"})
    assert (told["model"], told["reason"], told["pinned"]) == (CLAUDE, "pinned", True)
    assert told["scores"][0][0] == "code_generation"
    _, told = await route(sidecar, {"text": REASONING, "session_id": "run-1", "tenant": "another"})
    assert (told["route"], told["pinned"]) == ("complex_reasoning", False)


async def test_no_match_says_which_model_answers_then(start):
    _, told = await route(await start(), {"text": "hi", "model": "gpt-4o"})
    assert (told["model"], told["route"], told["reason"]) == ("openai/gpt-4o", None, "no_match")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, "invalid_request", "name what to decide for: text, or messages"),
        ({"text": "a", "messages": []}, "invalid_request", "not both"),
        ({"text": 1}, "invalid_request", "text: Expected str, got int"),
        ({"messages": []}, "invalid_request", "messages must not be empty"),
        ({"messages": "hi"}, "invalid_request", "messages: Expected array, got str"),
        ({"messages": [{"role": "user", "content": 1}]}, "invalid_request", "messages[0].content must be"),
        ({"text": "a", "session_id": ""}, "invalid_session_id", "1 to 256 visible ASCII"),
        ({"text": "a", "session_id": "a", "lane": "a b"}, "invalid_request", "lane must be"),
        (chat(routing_preferences=[{"name": "x"}]), "invalid_request", "routing_preferences"),
        (chat(routing_preferences="x" * MAX_PREFERENCES_BYTES), "invalid_request", "at most 65536 bytes"),
        (b"[1]", "invalid_request", "Expected object, got array"),
        (b"{", "invalid_json", "not valid JSON"),
        (b'{"text": "\xff"}', "invalid_json", "not valid JSON"),
        (b'{"messages": ' + b"[" * 50_000, "invalid_json", ""),
    ],
)
async def test_what_cannot_be_decided_is_refused(start, body, code, message):
    status, found, said = await refused(await start(), body)
    assert (status, found, message in said) == (400, code, True), said


async def test_a_body_over_the_listeners_bound_is_refused(start):
    sidecar = await start(f"{CONFIG}\nlisteners: [{{type: model, name: l, port: 12000, max_body_bytes: 2000}}]\n")
    assert (await refused(sidecar, {"text": "x" * 2000}))[:2] == (413, "body_too_large")


async def test_without_a_default_a_model_that_nobody_offers_is_not_found(start):
    sidecar = await start(CONFIG.replace(", default: true", ""))
    assert (await refused(sidecar, {"text": "hi", "model": "no/such"}))[:2] == (404, "model_not_found")


async def test_a_classifier_that_fails_is_told_and_keeps_it_from_no_request(start, endpoint):
    async def fail(_request):
        raise ConnectionResetError

    endpoint.behave = fail
    sidecar = await start(endpoint.classifier())
    for _ in range(20):
        _, told = await route(sidecar, {"text": CODE})
    assert (told["reason"], told["confidence"], told["scores"]) == ("classifier_open", None, [])
    asked = len(endpoint.asked)
    _, decided, _ = await sidecar.decide()
    assert (decided["reason"], len(endpoint.asked) > asked) == ("classifier_error", True)
