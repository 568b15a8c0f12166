"""How a conversation begins, read off each format."""

import json

import pytest
from msgspec import Raw

from sidecar.wire.formats import Format
from sidecar.wire.opening import offers_tools
from sidecar.wire.request import parse

SYSTEM, USER, REPLY, MORE = "Be brief.", "Sort a list.", "Done.", "Now reverse it."


def parsed(form, **fields):
    return parse(form, json.dumps(fields).encode())


def message(role, content):
    return {"role": role, "content": content}


TALK = [message("user", USER), message("assistant", REPLY), message("user", [{"type": "text", "text": MORE}])]
WHOLE = {
    Format.CHAT: {"messages": [message("system", SYSTEM), *TALK]},
    Format.MESSAGES: {"system": [{"type": "text", "text": SYSTEM}], "messages": TALK},
    Format.RESPONSES: {"instructions": SYSTEM, "input": TALK},
}


@pytest.mark.parametrize("form", Format)
def test_system_and_first_message_are_found_in_each_format(form):
    opening = parsed(form, **WHOLE[form]).opening()
    assert (opening.system, opening.first_user, opening.answered(), opening.whole) == (SYSTEM, USER, True, True)


@pytest.mark.parametrize("form", Format)
def test_before_the_first_answer_nobody_has_answered(form):
    name = "input" if form is Format.RESPONSES else "messages"
    talk = [said for said in WHOLE[form][name] if said["content"] != REPLY]
    assert not parsed(form, **WHOLE[form] | {name: talk}).opening().answered()


def test_the_system_messages_that_count_are_those_before_the_user_speaks():
    later = [message("system", "A"), message("developer", "B"), message("user", "hi"), message("system", "C")]
    assert parsed(Format.CHAT, messages=later).opening().system == "A\nB"
    assert not parsed(Format.CHAT, messages=later).opening().answered()


def test_an_input_may_be_plain_text():
    opening = parsed(Format.RESPONSES, input=USER).opening()
    assert (opening.first_user, opening.system, opening.answered()) == (USER, "", False)


def test_what_codex_puts_before_the_user_is_kept():
    items = [
        {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": SYSTEM}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": USER}]},
        {"type": "function_call", "name": "exec", "call_id": "c", "arguments": "{}"},
    ]
    request = parsed(Format.RESPONSES, input=items)
    opening = request.opening()
    assert [said.who for said in opening.before] == ["additional_tools", "developer"]
    assert (opening.system, opening.first_user, opening.answered()) == (SYSTEM, USER, True)
    assert request.has_tools


@pytest.mark.parametrize("continued", [{"previous_response_id": "resp_1"}, {"conversation": {"id": "conv_1"}}])
def test_a_request_that_continues_a_response_is_not_the_whole_conversation(continued):
    assert not parsed(Format.RESPONSES, input=USER, **continued).opening().whole


def test_without_a_message_of_the_user_there_is_no_first_one():
    opening = parsed(Format.RESPONSES, prompt={"id": "pmpt_1"}).opening()
    assert (opening.first, opening.first_user, opening.answered()) == (None, "", False)
    opening = parsed(Format.CHAT, messages=[message("system", SYSTEM), message("assistant", REPLY)]).opening()
    assert (opening.first, opening.system) == (None, SYSTEM)


@pytest.mark.parametrize(
    ("tools", "offered"),
    [
        ("[{}]", True),
        ("[ \n {} ]", True),
        ("[]", False),
        ("[ \n\t ]", False),
        ("null", False),
        ("", False),
        ("{}", False),
    ],
)
def test_tools_are_offered_when_the_list_has_one(tools, offered):
    assert offers_tools(Raw(tools.encode())) is offered


@pytest.mark.parametrize("form", Format)
def test_each_format_says_whether_it_offers_tools(form):
    assert not parsed(form, **WHOLE[form]).has_tools
    assert not parsed(form, **WHOLE[form], tools=[]).has_tools
    assert parsed(form, **WHOLE[form], tools=[{"name": "exec"}]).has_tools
