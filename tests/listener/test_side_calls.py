"""
What a session's model survives: its client's side calls, its sub-agents, and its own end. Clients speak as they were
recorded, over real sockets.
"""

import json

import pytest
from provider import COMPLETION, KEYS, answers, before, entry, in_turn, refuses
from rawclient import request
from running import CODE, CONFIG, REASONING, chat

OPENCODE = {
    "User_Agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14",
    "x_session_affinity": "ses_dffcce372ffenN4E9Skuo3cmZ2",
    "x_session_id": "ses_dffcce372ffenN4E9Skuo3cmZ2",
}
TITLE = {
    "model": "gpt-4o-mini",
    "max_tokens": 8000,
    "messages": [
        {"role": "system", "content": "You are a title generator. You output ONLY a thread title. Nothing else.\n\n…"},
        {"role": "user", "content": "Generate a title for this conversation:\n"},
        {"role": "user", "content": REASONING},
    ],
    "stream": True,
}
TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object", "properties": {}}}}]
STEP = [{"role": "assistant", "content": None}, {"role": "tool", "tool_call_id": "c", "content": "ok"}]
CLAUDE = {"User_Agent": "claude-cli/2.1.330 (external, sdk-cli)", "X_Claude_Code_Session_Id": "cf9d2b15-9761"}


def post(body, *lines):
    head = ("content-type: application/json", *lines)
    return request("POST", "/v1/chat/completions", *head, body=json.dumps(body).encode())


def routing(lines):
    return f"{CONFIG}routing: {{{lines}}}\n"


def turn(prompt, *after):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}, *after], "tools": TOOLS}


async def test_a_title_asked_for_first_does_not_pin_the_session(start):
    sidecar = await start()
    _, title, headers = await sidecar.decide(TITLE, **OPENCODE)
    assert (title["model"], title["pinned"], "expires_in" in title) == ("openai/gpt-4o", False, False)
    assert headers["x-sidecar-pin"] == "side_call; source=x-session-id"
    _, first, headers = await sidecar.decide(turn(CODE), **OPENCODE)
    assert (first["model"], headers["x-sidecar-pin"]) == ("anthropic/claude-sonnet", "miss; source=x-session-id")
    _, again, _ = await sidecar.decide(TITLE, **OPENCODE)
    _, later, _ = await sidecar.decide(turn(REASONING), **OPENCODE)
    assert (again["model"], later["model"], later["pinned"]) == ("openai/gpt-4o", "anthropic/claude-sonnet", True)
    counted = await sidecar.metrics()
    assert counted['sidecar_pin_lookups_total{outcome="side_call",source="x-session-id"}'] == 2
    assert (await sidecar.total("sidecar_pins_created_total"), await sidecar.total("sidecar_pins")) == (1, 1)


async def test_side_calls_may_be_taken_for_turns(start):
    sidecar = await start(routing("side_calls: pin"))
    _, _, headers = await sidecar.decide(TITLE, **OPENCODE)
    _, first, _ = await sidecar.decide(turn(CODE), **OPENCODE)
    assert (headers["x-sidecar-pin"], first["model"]) == ("miss; source=x-session-id", "openai/gpt-4o")


async def test_without_a_session_a_side_call_is_a_request_like_any_other(start):
    sidecar = await start()
    _, _, headers = await sidecar.decide(TITLE, User_Agent=OPENCODE["User_Agent"])
    assert headers["x-sidecar-pin"] == "none"


def failing_over(provider):
    """A route of two models, the first of which its provider no longer knows."""
    provider.story = in_turn(refuses(404, {"code": "model_not_found"}), answers(COMPLETION))
    two = [{"name": "any", "description": "anything", "models": ["openai/first", "openai/second"]}]
    entries = [entry(provider, "openai/first"), entry(provider, "openai/second")]
    return before(*entries, routing_preferences=two, routing={"classifier": {"type": "embedded", "threshold": 0}})


async def test_a_side_call_whose_model_is_gone_is_answered_by_the_next_and_makes_no_pin(start, provider, ask):
    sidecar = await start(failing_over(provider), KEYS)
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in OPENCODE.items()]
    told = await ask(sidecar.port, post({**TITLE, "model": "first", "stream": False}, *lines))
    assert (told.status, told.one("x-sidecar-pin")) == (200, "side_call; source=x-session-id")
    assert (told.one("x-sidecar-model"), await sidecar.total("sidecar_pins")) == ("openai/second", 0)


async def test_a_sub_agent_begins_with_its_parents_model_and_goes_its_own_way(start):
    sidecar = await start(routing("lanes: by_agent"))
    agent = {**CLAUDE, "x_claude_code_agent_id": "a10245c7d060892b1"}
    _, main, _ = await sidecar.decide(turn(CODE), **CLAUDE)
    _, began, headers = await sidecar.decide(turn(REASONING), **agent)
    assert (began["model"], began["pinned"]) == (main["model"], True)
    assert headers["x-sidecar-pin"] == "hit; source=x-claude-code-session-id"
    _, moved, _ = await sidecar.decide(turn(REASONING), **agent, x_sidecar_pin="refresh")
    _, back, _ = await sidecar.decide(turn(REASONING), **CLAUDE)
    assert (moved["model"], back["model"]) == ("openai/gpt-4o", main["model"])
    assert await sidecar.total("sidecar_pins") == 2


async def test_a_sub_agent_may_be_routed_by_itself(start):
    sidecar = await start(routing("lanes: {mode: by_agent, inherit: false}"))
    await sidecar.decide(turn(CODE), **CLAUDE)
    _, began, _ = await sidecar.decide(turn(REASONING), **CLAUDE, x_claude_code_agent_id="a1")
    assert (began["model"], began["pinned"]) == ("openai/gpt-4o", False)


async def test_a_child_session_of_opencode_inherits_too(start):
    sidecar = await start(routing("lanes: by_agent"))
    _, main, _ = await sidecar.decide(turn(CODE), **OPENCODE)
    child = {**OPENCODE, "x_session_id": "ses_child", "x_session_affinity": "ses_child"}
    _, began, _ = await sidecar.decide(turn(REASONING), **child, x_parent_session_id=OPENCODE["x_session_id"])
    assert (began["model"], began["pinned"], began["session_id"]) == (main["model"], True, "ses_child")


@pytest.mark.parametrize(
    ("lines", "main", "child"),
    [
        ("lanes: by_agent", CLAUDE, {**CLAUDE, "x_claude_code_agent_id": "a1"}),
        ("lanes: {mode: by_agent, inherit: false}", CLAUDE, {**CLAUDE, "x_claude_code_agent_id": "a1"}),
        ("lanes: single", OPENCODE, {"x_session_id": "ses_child", "x_parent_session_id": OPENCODE["x_session_id"]}),
    ],
)
async def test_a_sub_agents_work_counts_as_use_of_the_pin_that_waits_for_it(start, lines, main, child):
    sidecar = await start(routing(lines))
    _, waits, _ = await sidecar.decide(turn(CODE), **main)
    await sidecar.decide(turn(REASONING), **child)
    async with sidecar.client.get(f"{sidecar.admin}/pins/{waits['session_id']}") as answer:
        assert (await answer.json())["turns"] > 1


async def test_by_model_each_model_that_is_named_has_a_lane(start):
    sidecar = await start(routing("lanes: by_model"))
    asked = [
        ("gpt-4o-mini", CODE),
        ("claude-sonnet", REASONING),
        ("fast", REASONING),
        ("auto", REASONING),
        (None, CODE),
    ]
    told = []
    for model, prompt in asked:
        _, body, _ = await sidecar.decide({**chat(prompt), "model": model}, X_Session_Id="run-1")
        told.append((body["model"], body["pinned"]))
    assert told == [
        ("anthropic/claude-sonnet", False),
        ("openai/gpt-4o", False),
        ("anthropic/claude-sonnet", True),
        ("openai/gpt-4o", False),
        ("openai/gpt-4o", True),
    ]


async def test_routed_by_turns_only_the_users_words_choose_a_model(start):
    sidecar = await start(routing("route_on_user_only: true"))
    words = [turn(CODE), turn(CODE, *STEP), turn(CODE, *STEP, {"role": "user", "content": REASONING})]
    words.append(turn(CODE, *STEP, {"role": "user", "content": REASONING}, *STEP))
    told = []
    for body in words:
        _, decision, headers = await sidecar.decide(body, X_Session_Id="run-1")
        told.append((decision["model"], headers["x-sidecar-pin"].partition(";")[0]))
    assert told == [
        ("anthropic/claude-sonnet", "miss"),
        ("anthropic/claude-sonnet", "hit"),
        ("openai/gpt-4o", "turn"),
        ("openai/gpt-4o", "hit"),
    ]
    assert (await sidecar.metrics())['sidecar_pins_moved_total{reason="turn"}'] == 1


async def test_release_is_decided_by_the_pin_for_the_last_time(start):
    sidecar = await start()
    await sidecar.decide(chat(CODE), X_Session_Id="run-1")
    _, last, headers = await sidecar.decide(chat(REASONING), X_Session_Id="run-1", x_sidecar_pin=" Release ")
    assert (last["model"], last["pinned"], "expires_in" in last) == ("anthropic/claude-sonnet", True, False)
    assert headers["x-sidecar-pin"] == "released; source=x-session-id"
    counted = await sidecar.metrics()
    assert counted['sidecar_pins_removed_total{reason="deleted"}'] == 1
    _, anew, _ = await sidecar.decide(chat(REASONING), X_Session_Id="run-1")
    assert (anew["model"], anew["pinned"]) == ("openai/gpt-4o", False)


async def test_a_released_session_whose_last_request_fails_over_has_no_pin(start, provider, ask):
    sidecar = await start(failing_over(provider), KEYS)
    asked = {**chat(CODE), "model": "first"}
    await sidecar.decide(asked, X_Session_Id="run-1")
    assert await sidecar.total("sidecar_pins") == 1
    told = await ask(sidecar.port, post(asked, "x-session-id: run-1", "x-sidecar-pin: release"))
    assert (told.status, told.one("x-sidecar-pin")) == (200, "released; source=x-session-id")
    assert (told.one("x-sidecar-model"), await sidecar.total("sidecar_pins")) == ("openai/second", 0)


@pytest.mark.parametrize("word", ["", "no", "release,refresh", "rélease"])
async def test_a_word_that_nobody_knows_is_refused_with_those_that_are_known(start, word):
    sidecar = await start()
    status, body, _ = await sidecar.decide(chat(CODE), X_Session_Id="run-1", x_sidecar_pin=word)
    assert (status, body["error"]["param"]) == (400, "x-sidecar-pin")
    assert body["error"]["message"] == "x-sidecar-pin must be refresh, bypass or release"
