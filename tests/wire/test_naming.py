"""The fields that may name a session, as they are in a body."""

import json

import pytest

from sidecar.wire.formats import Format
from sidecar.wire.naming import Names
from sidecar.wire.request import parse

BODIES = {
    Format.CHAT: {"messages": [{"role": "user", "content": "hello"}]},
    Format.MESSAGES: {"messages": [{"role": "user", "content": "hello"}]},
    Format.RESPONSES: {"input": "hello"},
}
NAMED = {
    "prompt_cache_key": "key",
    "session_id": "run",
    "conversation": {"id": "conv_1"},
    "metadata": {"session_id": "meta", "user_id": "me", "deep": {"er": [1]}},
    "client_metadata": {"thread_id": "thread"},
}


@pytest.mark.parametrize("form", Format)
def test_each_format_has_the_same_fields(form):
    names = parse(form, json.dumps(BODIES[form] | NAMED).encode()).names
    paths = ["prompt_cache_key", "session_id", "metadata.session_id", "metadata.user_id", "client_metadata.thread_id"]
    assert [names.at(path) for path in paths] == ["key", "run", "meta", "me", "thread"]
    assert names.at("conversation") == {"id": "conv_1"}
    assert names.at("metadata.deep.er") == [1]


@pytest.mark.parametrize("form", Format)
def test_what_is_not_there_is_none(form):
    names = parse(form, json.dumps(BODIES[form] | {"metadata": "a", "client_metadata": None}).encode()).names
    paths = [*NAMED, "metadata.session_id", "client_metadata.a", "session_id.a.b", "messages", "nothing", ""]
    assert {path: names.at(path) for path in paths if path != "metadata"} == dict.fromkeys(set(paths) - {"metadata"})
    assert names.at("metadata") == "a"


def test_a_request_that_was_made_without_a_body_names_nothing():
    assert Names().at("prompt_cache_key") is None


@pytest.mark.parametrize("value", [b"1e999", b"[" * 300 + b"]" * 300])
def test_what_cannot_be_kept_is_left_for_the_provider_to_judge(value):
    body = b'{"input": "hello", "metadata": {"a": 1, "b": %b}, "prompt_cache_key": %b}' % (value, value)
    names = parse(Format.RESPONSES, body).names
    assert names.at("metadata.a") in (None, 1)
    assert not isinstance(names.at("prompt_cache_key"), str)


def test_escapes_are_read_as_the_characters_they_stand_for():
    body = rb'{"input": "x", "prompt_cache_key": "\u0061\u002d1", "metadat\u0061": {"session_i\u0064": "b"}}'
    names = parse(Format.RESPONSES, body).names
    assert (names.at("prompt_cache_key"), names.at("metadata.session_id")) == ("a-1", "b")
