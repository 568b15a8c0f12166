"""Whose turn it is: told from the end of a conversation, as real clients send it."""

import json

import pytest

from sidecar.routing.turns import is_users
from sidecar.wire.conversation import Role, Turn
from sidecar.wire.formats import Format
from sidecar.wire.request import parse

REMINDER = "<system-reminder>The task list is empty.</system-reminder>"


def users(form, **body):
    return is_users(parse(form, json.dumps({"model": "m", **body}).encode()).conversation())


def chat(*messages):
    return users(Format.CHAT, messages=[{"role": role, "content": content} for role, content in messages])


def messages(*messages):
    return users(Format.MESSAGES, messages=[{"role": role, "content": content} for role, content in messages])


def text(*texts):
    return [{"type": "text", "text": each} for each in texts]


RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
CALL = [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}]


def test_a_first_message_and_every_later_one_of_the_user_is_the_users_turn():
    assert chat(("system", "be brief"), ("user", "sort this"))
    assert chat(("user", "sort this"), ("assistant", "done"), ("user", "now the other"))


def test_a_tools_result_is_the_agents_turn():
    assert not chat(("user", "sort this"), ("assistant", None), ("tool", "ok"))
    assert not messages(("user", "sort this"), ("assistant", CALL), ("user", [RESULT]))
    items = [{"role": "user", "content": "sort this"}, {"type": "function_call", "name": "f", "arguments": "{}"}]
    for kind in ("function_call_output", "custom_tool_call_output"):
        assert not users(Format.RESPONSES, input=[*items, {"type": kind, "call_id": "c", "output": "ok"}])


def test_new_words_beside_a_tools_result_are_the_users_turn():
    assert messages(("user", "a"), ("assistant", CALL), ("user", [RESULT, *text("no, the other one")]))


def test_a_harness_that_only_reminds_says_nothing_for_the_user():
    assert not messages(("user", "a"), ("assistant", CALL), ("user", [RESULT, *text(REMINDER)]))
    assert not chat(("user", "a"), ("assistant", "b"), ("user", REMINDER))
    assert not chat(("user", "a"), ("assistant", "b"), ("user", "[ERROR] You did not use a tool in your reply."))


def test_what_a_harness_adds_after_the_users_words_does_not_hide_them():
    """Claude Code ends with a message of role `system`, Cline with a user message of its environment."""
    assert messages(("user", text(REMINDER, "sort this")), ("system", text("effort: medium")))
    assert chat(
        ("system", "s"), ("user", "sort this"), ("user", "<environment_details>\n# Time\n</environment_details>")
    )


@pytest.mark.parametrize(
    "conversation", [(), (Turn(Role.SYSTEM, "s"),), (Turn(Role.USER, "a"), Turn(Role.ASSISTANT, "b"))]
)
def test_nobodys_words_are_not_the_users(conversation):
    assert not is_users(conversation)


def test_a_picture_without_words_stays_with_the_turn():
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    assert not chat(("user", "a"), ("assistant", "b"), ("user", picture))
    assert chat(("user", "a"), ("assistant", "b"), ("user", [*picture, *text("what is this?")]))
