"""Which lane a request is in, from the headers that real clients send for their sub-agents."""

import pytest
from multidict import CIMultiDict

from sidecar.config.models import LaneMode
from sidecar.config.models import Lanes as Settings
from sidecar.routing.lanes import Laned, Lanes
from sidecar.routing.session import SessionKey

SESSION = SessionKey("run-1", tenant="acme", source="session-id")
ROOT, CHILD, GRANDCHILD = "01a20032-ab32", "01a20033-0001", "01a20033-0002"
MODELS = {"fast": "openai/mini", "openai/mini": "openai/mini", "gpt": "openai/gpt", "x/é": "x/é"}


def laned(mode, headers=(), requested=None, *, inherit=True, session=SESSION):
    return Lanes(Settings(mode, inherit), MODELS.get).of(session, CIMultiDict(headers), requested)


def lane(name):
    return SessionKey("run-1", tenant="acme", lane=name)


SUBAGENT = {"X-Claude-Code-Session-Id": "run-1", "x-claude-code-agent-id": "a10245c7d060892b1"}
CODEX_CHILD = {"session-id": ROOT, "thread-id": CHILD, "x-codex-parent-thread-id": ROOT}


def test_single_has_no_lanes_whatever_a_request_says():
    assert laned(LaneMode.SINGLE, SUBAGENT, "fast") == Laned(SESSION)


def test_without_lanes_a_child_session_of_opencode_inherits_nothing_but_its_parent_waits_for_it():
    told = laned(LaneMode.SINGLE, {"x-parent-session-id": "p"})
    assert told == Laned(SESSION, waiting=(SessionKey("p", tenant="acme"),))


@pytest.mark.parametrize(
    ("requested", "expected"),
    [("fast", "openai/mini"), ("openai/mini", "openai/mini"), ("gpt", "openai/gpt"), ("auto", ""), (None, "")],
)
def test_by_model_an_alias_and_its_model_are_one_lane_and_no_choice_is_another(requested, expected):
    assert laned(LaneMode.BY_MODEL, requested=requested) == Laned(lane(expected))


def test_a_model_that_nobody_could_type_gets_no_lane_of_its_own():
    assert laned(LaneMode.BY_MODEL, requested="x/é") == Laned(SESSION)


def test_by_model_sub_agents_are_no_lanes_and_inherit_nothing():
    assert laned(LaneMode.BY_MODEL, SUBAGENT, "gpt") == Laned(lane("openai/gpt"))


def test_the_main_agent_has_the_sessions_own_lane():
    assert laned(LaneMode.BY_AGENT, {"X-Claude-Code-Session-Id": "run-1"}) == Laned(SESSION)


def test_a_sub_agent_of_claude_code_has_a_lane_and_its_parent_is_who_started_it():
    assert laned(LaneMode.BY_AGENT, SUBAGENT) == Laned(lane("a10245c7d060892b1"), SESSION, (SESSION,))
    nested = {**SUBAGENT, "x-claude-code-agent-id": "deep", "X-Claude-Code-Parent-Agent-Id": "a10245c7d060892b1"}
    parent = lane("a10245c7d060892b1")
    assert laned(LaneMode.BY_AGENT, nested) == Laned(lane("deep"), parent, (parent, SESSION))


def test_the_root_thread_of_codex_is_its_main_agent_and_every_other_thread_a_lane():
    assert laned(LaneMode.BY_AGENT, {"session-id": ROOT, "thread-id": ROOT}) == Laned(SESSION)
    assert laned(LaneMode.BY_AGENT, CODEX_CHILD) == Laned(lane(CHILD), SESSION, (SESSION,))
    nested = {"session-id": ROOT, "thread-id": GRANDCHILD, "x-codex-parent-thread-id": CHILD}
    assert laned(LaneMode.BY_AGENT, nested) == Laned(lane(GRANDCHILD), lane(CHILD), (lane(CHILD), SESSION))
    review = {"session-id": ROOT, "thread-id": CHILD, "x-openai-subagent": "review"}
    assert laned(LaneMode.BY_AGENT, review) == Laned(lane(CHILD), SESSION, (SESSION,))


def test_a_thread_id_alone_is_not_codexs():
    assert laned(LaneMode.BY_AGENT, {"thread-id": CHILD}) == Laned(SESSION)


def test_a_child_session_of_opencode_keeps_its_id_and_may_begin_with_its_parents_pin():
    told = laned(LaneMode.BY_AGENT, {"x-session-id": "run-1", "x-parent-session-id": "ses_parent"})
    parent = SessionKey("ses_parent", tenant="acme")
    assert told == Laned(SESSION, parent, (parent,))
    assert laned(LaneMode.BY_AGENT, {"x-parent-session-id": "run-1"}) == Laned(SESSION)


@pytest.mark.parametrize("headers", [SUBAGENT, CODEX_CHILD, {"x-parent-session-id": "p"}])
def test_a_parent_is_never_of_another_tenant_and_without_inherit_there_is_none(headers):
    assert laned(LaneMode.BY_AGENT, headers).parent.tenant == "acme"
    alone = laned(LaneMode.BY_AGENT, headers, inherit=False)
    assert (alone.parent, [who.tenant for who in alone.waiting]) == (None, ["acme"])


@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 257])
def test_a_name_that_is_no_id_is_passed_over(value):
    headers = dict.fromkeys(("x-claude-code-agent-id", "x-parent-session-id", "thread-id", "session-id"), value)
    assert laned(LaneMode.BY_AGENT, headers) == Laned(SESSION)
    parent = {**SUBAGENT, "x-claude-code-parent-agent-id": value}
    assert laned(LaneMode.BY_AGENT, parent).parent == SESSION


def test_a_lane_keeps_who_named_the_session():
    assert laned(LaneMode.BY_AGENT, SUBAGENT).session.source == "session-id"
