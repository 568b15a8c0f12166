"""A conversation that is carried on is read like any other, only faster."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidJson, RequestError
from sidecar.wire import growth
from sidecar.wire.chat import Message
from sidecar.wire.formats import Format
from sidecar.wire.growth import Grammar, Texts
from sidecar.wire.request import parse

LONG = "y" * growth.LONG_BYTES
PLACES = {Format.CHAT: "messages", Format.MESSAGES: "messages", Format.RESPONSES: "input"}


GRAMMAR = Grammar("messages", msgspec.json.Decoder(list[Message]).decode)


def turn(count, text="x", **more):
    return {"role": ("user", "assistant")[count % 2], "content": text, **more}


def turns(count):
    return [turn(each, f"{each} {LONG}") for each in range(count)]


def body(messages, key="messages", **more):
    return json.dumps({"model": "m", key: messages, **more}, separators=(",", ":"), ensure_ascii=False).encode()


def read(texts, said, session="s"):
    """What is left to be read of a body; None when that is all of it. Its next one is told from it."""
    text = texts.of(session, GRAMMAR, said)
    if text is None:
        return None
    texts.keep(session, GRAMMAR, text)
    return json.loads(text.unread())


def is_kept(texts, said, session="s"):
    """Whether something of it is known without decoding it."""

    def items(_):
        raise ValueError

    return texts.of(session, Grammar("messages", items), said) is not None


def test_what_a_session_said_before_is_left_out():
    texts = Texts()
    read(texts, body(turns(3)))
    found = read(texts, body([*turns(3), turn(3), turn(4)], stream=True))
    assert found == {"model": "m", "messages": [{"role": growth.MARK}, turn(4)], "stream": True}


def test_so_it_is_where_the_json_has_spaces():
    texts = Texts()
    read(texts, json.dumps({"messages": turns(3)}).encode())
    assert read(texts, json.dumps({"messages": turns(4)}).encode())["messages"][1:] == turns(4)[3:]


def test_what_was_known_is_compared_and_not_decoded():
    decoded = []
    grammar = Grammar("messages", lambda text: decoded.append(len(text)) or GRAMMAR.items(text))
    texts = Texts()
    for count in (20, 21):
        texts.keep("s", grammar, texts.of("s", grammar, body(turns(count))))
    assert decoded[0] > 19 * len(LONG) > 2 * len(LONG) > decoded[1]


def test_who_changes_its_last_messages_starts_from_those_before():
    texts = Texts()
    said = [*turns(3), turn(3), turn(4)]
    for count in (3, 4, 5):
        read(texts, body(said[:count]))
    changed = [*said[:3], turn(3, "other"), turn(4), turn(5)]
    assert texts.of("s", GRAMMAR, body(changed)).known[1:-1] == texts.of("s", GRAMMAR, body(said[:4])).known[1:]
    assert read(texts, body(changed))["messages"][1:] == [turn(5)]


def test_of_two_conversations_in_one_session_each_is_known():
    texts = Texts()
    ours, theirs = turns(3), [{"role": "system", "content": f"Another {LONG}"}, *turns(3)]
    for said in (ours, theirs):
        read(texts, body(said))
    assert len(texts.of("s", GRAMMAR, body(ours)).known) == len(texts.of("s", GRAMMAR, body(theirs)).known) == 2


def test_no_more_than_so_many_bytes_are_kept_and_those_who_spoke_last_stay():
    said = body(turns(3))
    texts = Texts(most_bytes=2 * len(said))
    for session in "abac":
        read(texts, said, session)
    assert [is_kept(texts, said, session) for session in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    "said",
    [
        {"messages": LONG},
        {"messages": []},
        {"messages": [turn(0, LONG)]},
        {"messages": [turn(0, LONG), {"content": "no role"}, turn(2)]},
        {"input": turns(3)},
    ],
)
def test_what_is_not_plainly_so_is_left_to_others(said):
    assert Texts().of("s", GRAMMAR, json.dumps(said).encode()) is None


# As the readers of bodies use it


def heard(form, said, texts=None):
    """All that is read from a body, or what is wrong with it."""
    try:
        asked = parse(form, said, texts=texts, session="s")
        known = (asked.model, asked.named_once, asked.stream, asked.has_options, asked.has_tools)
        return known, asked.beginning(), asked.conversation(), bytes(asked.preferences)
    except RequestError as refusal:
        return refusal.code, refusal.param, refusal.message


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(
    "after",
    [
        {"stream": True, "stream_options": {}},
        {"routing_preferences": []},
        {"tools": [{"role": "user"}, {"role": "user"}]},
        {"model": "another"},
        {"system": 4, "instructions": 4},
    ],
)
def test_the_same_is_read_of_a_body_that_is_known_in_part(form, after):
    texts, key = Texts(), PLACES[form]
    for count in (3, 3, 5):
        said = body([{"role": "system", "content": "Be brief."}, *turns(count)], key)
        assert heard(form, said, texts) == heard(form, said)
        also = said[:-1] + b"," + json.dumps(after).encode()[1:]
        assert heard(form, also, texts) == heard(form, also)


def test_a_body_that_is_in_order_is_known_from_then_on_and_no_other():
    texts, said = Texts(), body(turns(3))
    for wrong in (said[:-1], said + b"}", body(turns(3), stream_options=1, model=[])):
        heard(Format.CHAT, wrong, texts)
        assert not is_kept(texts, wrong)
    heard(Format.CHAT, said, texts)
    assert is_kept(texts, said)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(
    "said",
    [
        b'{"x":{"KEY":[MANY]},"KEY":[ONE]}',
        b'{"x":"\\"KEY":[MANY],"KEY":[ONE]}',
        b'{"say \\"KEY":[MANY],"KEY":[ONE]}',
        b'{"\\u00KEY":[MANY]}',
        b'{"KEY":[],"x":{"KEY":[MANY]}}',
        b'{"x":"\xff","KEY":[MANY]}',
        b'{"KEY":[MANY],"x":"\xff"}',
        b'{"KEY":[MANY,{"role":"user","x":"\xff"},ONE]}',
        b'{"KEY":[MANY,]}',
        b'{"KEY":[MANY,1]}',
        b'{"KEY":[MANY,ONE}',
        b'{"KEY":[MANY,ONE,[' + b"[" * 5000 + b"]" * 5000 + b"]]}",
    ],
)
def test_what_looks_like_a_conversation_is_taken_for_no_more_than_it_is(form, said):
    many = json.dumps(turns(3), separators=(",", ":")).encode()[1:-1]
    said = said.replace(b"MANY", many).replace(b"ONE", b'{"role":"user","content":"x"}')
    said = said.replace(b"KEY", PLACES[form].encode())
    texts = Texts()
    assert heard(form, said, texts) == heard(form, said)
    heard(form, body(turns(4), PLACES[form]), texts)
    assert heard(form, said, texts) == heard(form, said)


def test_a_list_of_tools_that_opens_an_input_is_not_forgotten():
    texts = Texts()
    for count in (3, 4):
        said = body([{"type": "additional_tools", "role": "developer", "tools": []}, *turns(count)], "input")
        assert parse(Format.RESPONSES, said, texts=texts, session="s").has_tools


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("again", ["[]", "null", '[{"role":"user","content":"again"}]', '[{"role":1}]'])
def test_another_conversation_under_the_same_key_is_the_one_that_counts(form, again):
    texts, key = Texts(), PLACES[form]
    said = body(turns(3), key)
    heard(form, said, texts)
    twice = b'%b,"%b":%b}' % (said[:-1], key.encode(), again.encode())
    assert heard(form, twice, texts) == heard(form, twice)


def test_what_is_wrong_is_told_with_its_place_in_all_of_the_body():
    texts, said = Texts(), body(turns(3))
    parse(Format.CHAT, said, texts=texts, session="s")
    with pytest.raises(InvalidJson, match=f"byte {len(said) - 1} "):
        parse(Format.CHAT, said[:-1] + b"\xff}", texts=texts, session="s")
    with pytest.raises(RequestError) as refused:
        parse(Format.CHAT, body([*turns(3), {"role": 1}]), texts=texts, session="s")
    assert refused.value.param == "messages[3].role"


GARBAGE = st.sampled_from([b"", b'"', b"\\", b"}", b"]", b",", b"{", b"[", b"\xff", b"\xc3", b"\n", b"1", b'"role"'])
TEXTS = st.sampled_from(["x", "é", '"', "\\", '{"role":"user"},{"role":"user"', "}],", "😀", "\n"])
MORE = st.sampled_from([{}, {"tool_calls": [{"role": "user"}, {"role": "user"}]}, {"name": "é"}, {"x": [[{}]]}])


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("ascii_only", [True, False])
@given(
    said=st.lists(st.tuples(TEXTS, MORE), min_size=2, max_size=6),
    shared=st.integers(0, 6),
    spaced=st.booleans(),
    at=st.floats(0, 1),
    put=GARBAGE,
    cut=st.integers(0, 3),
)
def test_whatever_is_broken_about_it_what_is_known_of_a_body_changes_nothing(
    form, ascii_only, said, shared, spaced, at, put, cut
):
    key, texts = PLACES[form], Texts()
    separators = (", ", ": ") if spaced else (",", ":")

    def told(parts):
        messages = [turn(n, text * 3, **more) for n, (text, more) in enumerate(parts)]
        asked = {"model": "m", "x": LONG, key: messages, "tools": [{"role": "user"}, {"role": "user"}]}
        text = json.dumps(asked, separators=separators, ensure_ascii=ascii_only)
        return text.encode()

    heard(form, told(said[:shared]), texts)
    whole = told(said)
    place = len(whole) - round(at * (len(whole) - len(LONG)))  # in the conversation, and not in what pads the body
    broken = whole[:place] + put + whole[place + cut :]
    assert heard(form, broken, texts) == heard(form, broken)
    assert heard(form, whole, texts) == heard(form, whole)
