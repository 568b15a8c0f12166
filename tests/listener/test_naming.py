"""Requests as clients send them, and the session that each is in."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from running import CODE, CONFIG, REASONING, chat

from sidecar.config import read_text
from sidecar.errors import InvalidJson, RequestError
from sidecar.listener.naming import Naming
from sidecar.routing.session import is_session_id
from sidecar.routing.sources import TABLE
from sidecar.wire.formats import Format
from sidecar.wire.request import parse

RECORDED = Path(__file__).parents[1] / "e2e" / "clients"
BY_HEADER = {"claude-code": "x-claude-code-session-id", "codex": "session-id", "opencode": "x-session-id"}
IMPLICIT = CONFIG + "\nrouting: {implicit_sessions: true}\n"
SYSTEM = {"role": "system", "content": "You are a helpful agent."}


def naming(text="{}"):
    return Naming.of_policy(read_text(text, "test.yaml", {}).config.routing, b"a key")


def recorded(client):
    """(format, headers, body) of each request that was recorded of a client."""
    for sent in json.loads((RECORDED / f"{client}.json").read_text()):
        path = sent["line"].split()[1].partition("?")[0].removeprefix("/v1/")
        if sent["line"].startswith("POST ") and path in list(Format):
            yield Format(path), CIMultiDict(sent["headers"]), sent["body"]


def named(client, *, without=(), text="{}"):
    """The (source, session) pairs of what a client sent, some headers taken away."""
    found, names = set(), naming(text)
    for form, headers, body in recorded(client):
        for name in without:
            headers.popall(name, None)
        key = names.of(headers, parse(form, json.dumps(body).encode()), "127.0.0.1")
        found.add(key and (key.source, key.session_id))
    return found


@pytest.mark.parametrize("client", BY_HEADER)
def test_agents_name_their_sessions_by_a_header(client):
    assert {source for source, _ in named(client)} == {BY_HEADER[client]}


HEADERS = [*(source.name for source in TABLE if source.path is None), "x-session-id"]


@pytest.mark.parametrize(
    ("client", "source"), [("claude-code", "body:metadata.user_id"), ("codex", "body:client_metadata.session_id")]
)
def test_without_their_headers_their_bodies_name_the_same_sessions(client, source):
    bare = named(client, without=HEADERS)
    assert {name for name, _ in bare} == {source}
    assert {session for _, session in bare} == {session for _, session in named(client)}


@pytest.mark.parametrize(
    "client", ["aider", "cline", "pi", "qwen-code", "langchain", "openai-agents", "litellm", "vercel-ai", "curl"]
)
def test_clients_that_name_no_session_are_in_none(client):
    assert named(client) == {None}


def test_what_a_caller_gives_an_sdk_counts_and_his_user_does_not():
    assert named("openai-sdk-py") == {None, ("body:prompt_cache_key", "pck-77")}


async def test_the_answer_and_a_metric_say_which_source_was_used(start):
    sidecar = await start()
    _, first, headers = await sidecar.decide(chat(CODE, prompt_cache_key="support chat 7"))
    assert headers["x-sidecar-pin"] == "miss; source=body:prompt_cache_key"
    assert first["session_id"].startswith("sha256:")
    _, second, headers = await sidecar.decide(chat(REASONING, prompt_cache_key="support chat 7"))
    assert (second["model"], second["pinned"]) == (first["model"], True)
    assert headers["x-sidecar-pin"] == "hit; source=body:prompt_cache_key"
    await sidecar.shows('sidecar_pin_lookups_total{outcome="hit",source="body:prompt_cache_key"}', 1)


async def test_an_id_of_ours_that_is_none_is_refused_before_anything_is_decided(start):
    sidecar = await start()
    status, body, _ = await sidecar.decide(chat(CODE, prompt_cache_key="k"), X_Session_Id="two words")
    assert (status, body["error"]["code"]) == (400, "invalid_session_id")


def test_a_session_that_was_named_before_is_looked_up_by_the_name_and_by_who_gave_it():
    names, request = naming(), parse(Format.CHAT, json.dumps(chat(CODE)).encode())
    given = [("X-Session-Id", "a"), ("x-model-affinity", "a"), ("session-id", "a"), ("x-session-id", "b")]
    keys = [names.of(CIMultiDict([header]), request, "") for header in given]
    assert [(key.source, key.session_id) for key in keys] == [(name.lower(), session) for name, session in given]
    assert all(names.of(CIMultiDict([header]), request, "") is key for header, key in zip(given, keys, strict=True))


def talk(*words, **more):
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(words)]
    return {"model": "gpt-4o-mini", "messages": [SYSTEM, *turns], **more}


async def test_a_conversation_that_nobody_named_keeps_its_model(start):
    sidecar = await start(IMPLICIT)
    _, first, headers = await sidecar.decide(talk(CODE), Authorization="Bearer sk-1")
    assert headers["x-sidecar-pin"] == "miss; source=implicit"
    assert CODE not in first["session_id"]
    _, later, headers = await sidecar.decide(talk(CODE, "Done.", REASONING), Authorization="Bearer sk-1")
    assert (later["model"], later["pinned"]) == (first["model"], True)
    assert headers["x-sidecar-pin"] == "hit; source=implicit"


async def test_two_callers_who_open_with_the_same_words_are_in_two_conversations(start):
    sidecar = await start(IMPLICIT)
    sessions = [(await sidecar.decide(talk(CODE), Authorization=f"Bearer sk-{n}"))[1]["session_id"] for n in (1, 2)]
    assert len(set(sessions)) == 2


@pytest.mark.parametrize(
    "changed", [{"tools": [{"type": "function", "function": {"name": "exec"}}]}, {"system": "You are someone else."}]
)
async def test_another_system_prompt_or_other_tools_end_the_pin(start, changed):
    sidecar = await start(IMPLICIT)
    await sidecar.decide(talk(CODE))
    body = talk(CODE, "Done.", REASONING)
    if "system" in changed:
        body["messages"][0] = {"role": "system", "content": changed["system"]}
    else:
        body |= changed
    _, drifted, headers = await sidecar.decide(body)
    assert (drifted["model"], drifted["pinned"], drifted["reason"]) == ("openai/gpt-4o", False, "prefix_changed")
    assert headers["x-sidecar-pin"] == "prefix_changed; source=implicit"
    _, again, _ = await sidecar.decide(body)
    assert (again["model"], again["pinned"]) == ("openai/gpt-4o", True)


async def test_two_agents_that_are_given_the_same_task_keep_a_pin_each(start):
    sidecar = await start(IMPLICIT)
    planner, executor = talk(CODE), talk(CODE)
    executor["messages"][0] = {"role": "system", "content": "You execute plans."}
    for _ in range(3):
        sessions = [(await sidecar.decide(body))[1]["session_id"] for body in (planner, executor)]
        assert len(set(sessions)) == 2
    assert await sidecar.total("sidecar_pins") == 2
    assert await sidecar.total("sidecar_pins_created_total") == 2


def test_two_users_of_one_tenant_who_open_with_the_same_words_are_in_two_conversations():
    names = naming("routing: {implicit_sessions: true, session_cache: {tenant_header: t, trusted_peers: [10.0.0.1]}}")
    request = parse(Format.CHAT, json.dumps(talk(CODE)).encode())
    keys = [names.of(CIMultiDict({"t": "acme", "x-api-key": key}), request, "10.0.0.1") for key in "ab"]
    assert [key.tenant for key in keys] == ["acme", "acme"]
    assert keys[0] != keys[1]


def test_sidecars_with_the_same_secret_agree_and_show_it_to_nobody():
    request, headers = parse(Format.CHAT, json.dumps(talk(CODE)).encode()), CIMultiDict({"x-api-key": "sk-1"})
    policy = read_text(IMPLICIT, "test.yaml", {}).config.routing
    one, same, other = (Naming.of_policy(policy, key) for key in (b"a secret", b"a secret", b"another"))
    assert one.of(headers, request, "") == same.of(headers, request, "") != other.of(headers, request, "")
    assert "secret" not in repr(one)


async def test_a_named_session_is_not_told_by_its_conversation(start):
    sidecar = await start(IMPLICIT)
    _, body, _ = await sidecar.decide(talk(CODE), X_Session_Id="run-1")
    assert body["session_id"] == "run-1"


def test_a_body_that_is_nested_deeply_is_refused_or_hashed_and_never_fails():
    body, found = b'{"messages": [{"role": "user", "content": [{"type": "x", "deep": %b}]}], "tools": [%b]}', []
    for depth in range(100, 1000, 5):
        deep = b"[" * depth + b"]" * depth
        with suppress(InvalidJson):
            found.append(naming(IMPLICIT).of(CIMultiDict(), parse(Format.CHAT, body % (deep, deep)), ""))
    assert found[0].source == "implicit"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "session_id", "text", "a"]), inner)
    ),
    max_leaves=8,
)
FIELDS = [
    "prompt_cache_key",
    "session_id",
    "conversation",
    "metadata",
    "client_metadata",
    "tools",
    "system",
    "instructions",
]


@given(st.sampled_from(list(Format)), st.dictionaries(st.sampled_from(FIELDS), JSON), st.booleans())
def test_whatever_is_in_those_fields_a_request_is_named_or_not_and_never_fails(form, fields, implicit):
    said = {"input": "hi"} if form is Format.RESPONSES else {"messages": [{"role": "user", "content": "hi"}]}
    with suppress(RequestError):  # `system` and `instructions` are checked before
        request = parse(form, json.dumps(fields | said).encode())
        key = naming(IMPLICIT if implicit else "{}").of(CIMultiDict(), request, "")
        assert key is None or (is_session_id(key.session_id) and key.source)
