"""The decision API over real sockets: what it answers, and what a session changes."""

import asyncio
import json

import pytest
from doubles import answers, hang, says
from running import CODE, CONFIG, REASONING, chat

from sidecar.listener.decisions import Decided, decision_body
from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.trace import Trace, Traces

FORMATS = {
    "chat/completions": chat,
    "messages": lambda text: {"model": "x", "max_tokens": 1, "messages": [{"role": "user", "content": text}]},
    "responses": lambda text: {"model": "x", "input": text},
}


async def test_a_decision_names_the_model_the_ranked_list_the_route_and_why(start):
    sidecar = await start()
    status, body, headers = await sidecar.decide(chat(CODE))
    trace_id = body.pop("trace_id")
    assert (status, body) == (
        200,
        {
            "model": "anthropic/claude-sonnet",
            "models": ["anthropic/claude-sonnet", "openai/gpt-4o"],
            "route": "code_generation",
            "pinned": False,
            "reason": "routed",
        },
    )
    assert len(trace_id) == 32
    assert headers["content-type"] == "application/json"
    assert headers["x-sidecar-model"] == "anthropic/claude-sonnet"
    assert headers["x-sidecar-route"] == "code_generation"
    assert headers["x-sidecar-pin"] == "none"
    assert len(headers["x-request-id"]) == 32


@pytest.mark.parametrize("form", FORMATS)
async def test_the_three_formats_get_the_same_decisions(start, form):
    sidecar = await start()
    routes = [(await sidecar.decide(FORMATS[form](text), form=form))[1]["route"] for text in (CODE, REASONING)]
    assert routes == ["code_generation", "complex_reasoning"]


async def test_a_session_keeps_its_model_over_formats_and_the_answer_says_so(start):
    sidecar = await start()
    _, first, headers = await sidecar.decide(chat(CODE), X_Session_Id="run-1")
    assert (first["pinned"], first["session_id"], first["expires_in"]) == (False, "run-1", 600)
    assert headers["x-sidecar-pin"] == "miss; source=x-session-id"
    for form, body in FORMATS.items():
        _, later, headers = await sidecar.decide(body(REASONING), form=form, X_Model_Affinity="run-1")
        assert (later["model"], later["models"], later["route"]) == (first["model"], first["models"], first["route"])
        assert (later["pinned"], later["reason"]) == (True, "pinned")
        assert headers["x-sidecar-pin"] == "hit; source=x-model-affinity"


def test_what_is_left_of_a_pin_is_told_in_whole_seconds_and_the_rest_of_a_subtraction_is_none():
    for left_s, told in ((600.0000000000146, 600), (599.2, 600), (0.3, 1), (600.0, 600)):
        decision = Decision(("a/b",), None, Reason.PINNED, Lookup.HIT, expires_in_s=left_s)
        body = decision_body(Decided(decision, None), Traces().of({}))
        assert json.loads(body)["expires_in"] == told


async def test_no_match_gives_the_requests_own_model_with_its_alias_resolved(start):
    sidecar = await start()
    _, body, headers = await sidecar.decide(chat("What is the capital of France?", model="fast"))
    assert (body["model"], body["models"], body["route"]) == ("openai/gpt-4o-mini", ["openai/gpt-4o-mini"], None)
    assert (body["reason"], headers["x-sidecar-route"]) == ("no_match", "-")


async def test_200_parallel_first_requests_of_one_session_make_one_classification(start, endpoint):
    sidecar = await start(endpoint.classifier())
    answers = await asyncio.gather(*(sidecar.decide(X_Session_Id="run-1") for _ in range(200)))
    assert {(status, body["model"]) for status, body, _ in answers} == {(200, "anthropic/claude-sonnet")}
    assert [body["pinned"] for _, body, _ in answers].count(False) == 1
    assert len(endpoint.asked) == 1
    assert await sidecar.total("sidecar_pins") == 1


async def test_of_200_parallel_sessions_each_is_classified_once_and_right(start, endpoint):
    async def by_prompt(request):
        asked = json.dumps(await request.json())
        return await says('{"route": "%s"}' % ("code_generation" if "linked list" in asked else "complex_reasoning"))(0)

    endpoint.behave = by_prompt
    sidecar = await start(endpoint.classifier())
    prompts = [(CODE, REASONING)[n % 2] for n in range(200)]
    answers = await asyncio.gather(*(sidecar.decide(chat(p), X_Session_Id=f"s{n}") for n, p in enumerate(prompts)))
    expected = [("code_generation", "complex_reasoning")[n % 2] for n in range(200)]
    assert [body["route"] for _, body, _ in answers] == expected
    assert len(endpoint.asked) == 200


async def test_refresh_and_bypass_do_what_they_say(start):
    sidecar = await start()
    await sidecar.decide(chat(CODE), X_Session_Id="run-1")
    _, bypassed, headers = await sidecar.decide(chat(REASONING), X_Session_Id="run-1", X_Sidecar_Pin="bypass")
    assert (bypassed["model"], "expires_in" in bypassed) == ("openai/gpt-4o", False)
    assert headers["x-sidecar-pin"] == "bypass; source=x-session-id"
    _, refreshed, _ = await sidecar.decide(chat(REASONING), X_Session_Id="run-1", X_Sidecar_Pin="Refresh")
    _, later, _ = await sidecar.decide(chat(CODE), X_Session_Id="run-1")
    assert (refreshed["pinned"], later["model"], later["pinned"]) == (False, "openai/gpt-4o", True)


async def test_inline_preferences_decide_for_their_request(start):
    sidecar = await start()
    inline = [{"name": "coding", "description": "writing code in any language", "models": ["gpt-4o"]}]
    _, body, _ = await sidecar.decide(chat(CODE, routing_preferences=inline))
    assert (body["route"], body["models"]) == ("coding", ["openai/gpt-4o"])


@pytest.mark.parametrize(
    ("inline", "param"),
    [
        ({}, "routing_preferences"),
        ([{"name": "x", "description": "d"}], "routing_preferences[0]"),
        ([{"name": "x", "description": "d", "models": ["no/such"]}], "routing_preferences[0].models[0]"),
        ([{"name": "x", "description": "d", "models": ["gpt-4o"]}] * 65, "routing_preferences"),
        ([{"name": "x", "description": "d" * 65_536, "models": ["gpt-4o"]}], "routing_preferences"),
    ],
)
async def test_inline_preferences_with_a_mistake_are_refused_with_its_path_and_leave_no_pin(start, inline, param):
    sidecar = await start()
    status, body, _ = await sidecar.decide(chat(routing_preferences=inline), X_Session_Id="run-1")
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_request", param)
    assert await sidecar.total("sidecar_pins") == 0


async def test_a_client_that_hangs_up_during_a_first_turn_still_leaves_its_session_a_pin(start, endpoint):
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def slow(request):
        arrived.set()
        await gate.wait()
        return await says('{"route": "code_generation"}')(request)

    endpoint.behave = slow
    sidecar = await start(endpoint.classifier())
    leader = asyncio.ensure_future(sidecar.decide(X_Session_Id="run-1"))
    await arrived.wait()
    leader.cancel()
    follower = asyncio.ensure_future(sidecar.decide(chat(REASONING), X_Session_Id="run-1"))
    gate.set()
    _, body, _ = await follower
    assert (body["model"], len(endpoint.asked)) == ("anthropic/claude-sonnet", 1)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (hang, "classifier_timeout"),
        (answers(b"oops", 500), "classifier_error"),
        (answers(b"\x00\xff"), "classifier_error"),
        (answers(b"{}"), "classifier_error"),
        (answers(b'{"choices":[]}'), "classifier_error"),
        (says("the moon is made of cheese"), "no_match"),
        (says('{"route": "no_such_route"}'), "no_match"),
    ],
)
async def test_a_classifier_that_fails_never_fails_the_request(start, endpoint, behave, reason):
    endpoint.behave = behave
    sidecar = await start(endpoint.classifier(timeout="100ms" if behave is hang else "30s"))
    status, body, _ = await sidecar.decide(chat(CODE, model="gpt-4o"))
    assert (status, body["model"], body["reason"]) == (200, "openai/gpt-4o", reason)


async def test_a_classifier_that_is_not_there_is_left_alone_after_a_while_and_counted(start, endpoint):
    endpoint.behave = answers(b"oops", 503)
    sidecar = await start(endpoint.classifier(breaker={"failures": 3, "cooldown_seconds": 60}))
    reasons = [(await sidecar.decide())[1]["reason"] for _ in range(5)]
    assert reasons == ["classifier_error"] * 3 + ["classifier_open"] * 2
    assert len(endpoint.asked) == 3
    metrics = await sidecar.metrics()
    assert metrics['sidecar_classifier_verdicts_total{kind="llm",outcome="classifier_error"}'] == 3
    assert metrics['sidecar_classifier_verdicts_total{kind="llm",outcome="classifier_open"}'] == 2


async def test_the_trace_is_the_clients_own_when_it_sent_one(start):
    sidecar = await start()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    _, body, headers = await sidecar.decide(traceparent=f"00-{trace_id}-00f067aa0ba902b7-01", x_request_id="mine-1")
    assert (body["trace_id"], headers["x-request-id"]) == (trace_id, "mine-1")


async def test_a_route_whose_name_is_no_header_value_is_percent_encoded(start):
    sidecar = await start(CONFIG.replace("name: code_generation", "name: Schöner Code"))
    _, body, headers = await sidecar.decide(chat(CODE))
    assert (body["route"], headers["x-sidecar-route"]) == ("Schöner Code", "Sch%C3%B6ner Code")


@pytest.mark.parametrize(("left_s", "told"), [(600.0000000001, 600), (599.2, 600), (0.4, 1), (600.0, 600)])
def test_the_seconds_a_pin_lasts_are_rounded_up_but_for_the_dust_of_clock_arithmetic(left_s, told):
    decision = Decision(("openai/gpt-4o",), None, Reason.NO_MATCH, expires_in_s=left_s)
    body = json.loads(decision_body(Decided(decision, SessionKey("s")), Trace("0" * 32, "r")))
    assert body["expires_in"] == told


async def test_a_long_conversation_that_is_carried_on_is_judged_like_any_other(start):
    sidecar = await start()
    said = chat(CODE)["messages"] * 400
    for count in (397, 398, 400):
        _, body, _ = await sidecar.decide({"model": "x", "messages": said[:count]}, X_Session_Id="run-1")
        assert body["pinned"] is (count > 397)
    wrong = {"model": "x", "messages": [*said, {"role": 1}]}
    status, body, _ = await sidecar.decide(wrong, X_Session_Id="run-1")
    assert (status, body["error"]["param"]) == (400, "messages[400].role")
