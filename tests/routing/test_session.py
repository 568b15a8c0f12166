"""Who names the session, what a session id is, and that no two sessions share a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from sidecar.errors import InvalidSessionId
from sidecar.routing.session import SessionKey, Source, named, session_of
from sidecar.routing.sources import TABLE


class Body:
    """A body that has something at some paths."""

    def __init__(self, **fields):
        self.fields = fields

    def at(self, path):
        return self.fields.get(path)


def test_without_any_identifier_there_is_no_session():
    assert session_of(CIMultiDict({"user-agent": "curl"}), Body(), TABLE) is None


@pytest.mark.parametrize("name", ["X-Session-Id", "x-session-id", "X-Model-Affinity"])
def test_our_own_headers_name_the_session_whatever_their_case(name):
    key = session_of(CIMultiDict({name: "run-1"}))
    assert (key.session_id, key.source) == ("run-1", name.lower())


def test_x_session_id_wins_over_every_other_identifier():
    headers = CIMultiDict({"session-id": "codex", "X-Model-Affinity": "plano", "X-Session-Id": "ours"})
    assert session_of(headers, Body(prompt_cache_key="cached"), TABLE).session_id == "ours"


def test_the_sources_are_asked_in_their_order():
    header, body = Source("session-id"), Source("body:prompt_cache_key")
    asked = CIMultiDict({"Session-Id": "a"}), Body(prompt_cache_key="b")
    assert session_of(*asked, [header, body]).session_id == "a"
    assert session_of(*asked, [body, header]).session_id == "b"


def test_a_source_whose_value_names_no_session_leaves_it_to_the_next():
    sources = [Source("session-id"), Source("thread-id")]
    key = session_of(CIMultiDict({"session-id": "two words", "thread-id": "t"}), Body(), sources)
    assert (key.session_id, key.source) == ("t", "thread-id")


def test_identifiers_that_are_not_listed_do_not_count():
    assert session_of(CIMultiDict({"session-id": "codex"}), Body(prompt_cache_key="b"), ()) is None


@pytest.mark.parametrize("name", ["x-request-id", "idempotency-key", "x-stainless-retry-count", "x-client-request-id"])
def test_ids_of_single_requests_are_never_a_session(name):
    assert session_of(CIMultiDict({name: "1"}), Body(), TABLE) is None


def test_what_headers_name_may_be_remembered_by_whoever_asks_but_for_what_is_no_id():
    asked = []

    def remembering(source, value, tenant):
        asked.append((source.name, value, tenant))
        return named(source, value, tenant)

    def ask(**headers):
        sent = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        return session_of(sent, Body(prompt_cache_key="b"), TABLE, "acme", remembering)

    assert [ask(session_id="a").session_id, ask(x_session_id="a").source] == ["a", "x-session-id"]
    assert asked == [("session-id", "a", "acme"), ("x-session-id", "a", "acme")]
    assert ask(session_id="x" * 257).session_id == "b"
    with pytest.raises(InvalidSessionId):
        ask(x_session_id="x" * 257)
    assert len(asked) == 2


@pytest.mark.parametrize("bad", ["", " ", "a b", "tab\t", "é", "\x7f", "x" * 257, "line\nbreak", "\u2028"])
@pytest.mark.parametrize("name", ["X-Session-Id", "X-Model-Affinity"])
def test_a_value_that_is_no_session_id_is_refused_without_being_repeated(name, bad):
    with pytest.raises(InvalidSessionId) as refusal:
        session_of(CIMultiDict({name: bad}))
    assert not bad.strip() or bad not in str(refusal.value)


def test_a_client_that_did_not_mean_us_is_not_refused_for_its_value():
    assert session_of(CIMultiDict({"session-id": "x" * 257}), Body(), TABLE) is None


@pytest.mark.parametrize("good", ["a", "x" * 256, "!", "~", "run:1/lane#2", "5:a0:"])
def test_1_to_256_visible_ascii_characters_are_a_session_id(good):
    assert session_of(CIMultiDict({"X-Session-Id": good})).session_id == good


def test_a_session_is_its_tenants_whatever_names_it():
    for headers, body in [({"x-session-id": "a"}, Body()), ({"session-id": "a"}, Body()), ({}, Body(session_id="a"))]:
        assert session_of(CIMultiDict(headers), body, TABLE, "acme") == SessionKey("a", "acme")


TRIPLES = st.tuples(st.text("01:ab", max_size=6), st.text("01:ab", max_size=6), st.text("01:ab", max_size=6))


@given(one=TRIPLES, other=TRIPLES)
def test_two_different_triples_never_share_a_key(one, other):
    keys = [SessionKey(session, tenant, lane) for tenant, lane, session in (one, other)]
    assert (keys[0].encoded == keys[1].encoded) == (one == other)


@given(triple=TRIPLES)
def test_an_encoded_key_can_be_read_again(triple):
    tenant, lane, session = triple
    key = SessionKey(session, tenant, lane, source="session-id", drifted=True)
    again = SessionKey.decoded(key.encoded, "session-id")
    assert (again, again.source) == (key, "session-id")


@pytest.mark.parametrize(
    "text", ["", "a", "0:", "5:ab0:c", "-1:0:c", "0:9:c", ":0:c", "0:" + "9" * 5000 + ":c", "²:ab0:c"]
)
def test_what_is_no_encoded_key_is_not_read_as_one(text):
    with pytest.raises(ValueError):  # noqa: PT011 - its message is ours or int's
        SessionKey.decoded(text)
