"""The keyed hash of what stays the same in a conversation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.formats import Format
from sidecar.wire.head import head_of
from sidecar.wire.request import parse

KEY = b"a key"
TOOLS = [{"name": "exec", "input_schema": {"type": "object", "properties": {"cache_control": {"type": "string"}}}}]


def text(words, **more):
    return {"type": "text", "text": words, **more}


def message(role, content):
    return {"role": role, "content": content}


def head(form=Format.MESSAGES, scope="", key=KEY, raw=None, **fields):
    return head_of(key, form, scope, parse(form, raw or json.dumps(fields).encode()).opening())


def talk(system="Be brief.", first="Sort a list.", tools=TOOLS, later=()):
    return {"system": system, "messages": [message("user", first), *later], "tools": tools}


def test_a_conversation_keeps_its_head_however_long_it_grows():
    later = [message("assistant", "Done."), message("user", "Thanks."), message("system", "A reminder.")]
    assert head(**talk()) == head(**talk(later=later))


@pytest.mark.parametrize(
    "other",
    [
        talk(system="Be long."),
        talk(system=""),
        talk(tools=[]),
        talk(tools=TOOLS * 2),
        talk(tools=[{"name": "exec", "input_schema": {"type": "object", "properties": {}}}]),
    ],
)
def test_another_system_prompt_or_other_tools_are_another_head_with_the_same_start(other):
    ours, theirs = head(**talk()), head(**other)
    assert ours.start == theirs.start
    assert ours.whole != theirs.whole


def test_another_stored_prompt_is_another_system_prompt():
    def of(prompt):
        return head(Format.RESPONSES, input="Hi", prompt=prompt)

    one = of({"id": "pmpt_1", "version": "2"})
    assert one == of({"version": "3", "id": "pmpt_1"})
    assert one.start == of({"id": "pmpt_2"}).start
    assert len({one.whole, of({"id": "pmpt_2"}).whole, of(None).whole}) == 3
    assert of(7) == of(["x"]) == of({"id": 7}) == of(None)


def test_another_first_message_caller_format_or_key_is_another_start():
    ours = head(**talk())
    others = [head(**talk(first="Sort two.")), head(scope="b", **talk()), head(key=b"other", **talk())]
    others.append(head(Format.CHAT, **talk()))
    assert not {ours.start, ours.whole} & {part for other in others for part in (other.start, other.whole)}


def test_the_same_conversation_in_another_spelling_has_the_same_head():
    body = talk(first=[text("Grüße"), {"type": "image", "source": {"type": "url", "url": "http://x"}}])
    plain = json.dumps(body, ensure_ascii=False).encode()
    spaced = json.dumps(body, indent=3, sort_keys=True).encode()
    backwards = json.dumps(dict(reversed(body.items())), separators=(",", ":")).encode()
    assert head(raw=plain) == head(raw=spaced) == head(raw=backwards)


def test_a_string_and_a_list_of_one_text_are_the_same_words():
    assert head(**talk()) == head(**talk(system=[text("Be brief.")], first=[text("Sort a list.")]))


def test_marks_for_prompt_caches_may_move():
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = talk([text("Be brief.", **mark)], [text("Sort a list.", **mark)], [TOOLS[0] | mark])
    assert head(**marked) == head(**talk())


def test_a_property_that_is_called_like_a_mark_is_none():
    schema = {"type": "object", "properties": {}}
    assert head(**talk(tools=[{"name": "exec", "input_schema": schema}])).whole != head(**talk()).whole


def test_the_line_that_claude_code_changes_each_time_is_left_out():
    line = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch={};"
    one, two = ([text(line.format(nonce)), text("Be brief.")] for nonce in ("36ee5", "0aaa9"))
    assert head(**talk(one)) == head(**talk(two)) == head(**talk("Be brief."))
    assert head(**talk(line.format(1) + "\nBe brief.")) == head(**talk(line.format(2) + "\nBe brief."))


def test_the_ids_of_items_belong_to_one_request():
    def items(unique):
        return [
            {"type": "additional_tools", "id": f"at_{unique}", "role": "developer", "tools": TOOLS},
            {
                "type": "message",
                "id": f"msg_{unique}",
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}],
            },
        ]

    assert head(Format.RESPONSES, input=items(1)) == head(Format.RESPONSES, input=items(2))


def test_a_conversation_that_begins_elsewhere_has_no_head():
    assert head(Format.RESPONSES, input="hi", previous_response_id="resp_1") is None
    assert head(Format.RESPONSES, prompt={"id": "pmpt_1"}) is None
    assert head(Format.CHAT, messages=[message("system", "Be brief.")]) is None


@pytest.mark.parametrize(
    "odd", [b"1e999", b"[" * 300 + b"]" * 300, b'"tools"', b'{"a":1}', b"[1,null]", b"123456789012345678901"]
)
def test_odd_tools_do_not_keep_a_conversation_from_having_a_head(odd):
    body = b'{"messages": [{"role": "user", "content": "hi"}], "tools": %b}'
    assert head(raw=body % odd) == head(raw=body % odd)


@given(st.lists(st.text("ab:t1", max_size=4), max_size=4), st.lists(st.text("ab:t1", max_size=4), max_size=4))
def test_no_text_imitates_the_boundary_between_two(one, other):
    heads = [head(**talk(system=[text("x"), *map(text, said)])) for said in (one, other)]
    assert (heads[0] == heads[1]) == (list(filter(None, one)) == list(filter(None, other)))
