"""Whether a conversation goes on under another system prompt or other tools."""

from sidecar.routing.drift import Drift
from sidecar.wire.head import Head


def test_a_conversation_that_goes_on_with_another_head_has_drifted_once():
    drift = Drift(10)
    assert not drift.seen(Head("hi", "one"), answered=False)
    assert not drift.seen(Head("hi", "one"), answered=True)
    assert drift.seen(Head("hi", "two"), answered=True)
    assert not drift.seen(Head("hi", "two"), answered=True)


def test_a_conversation_that_only_begins_with_the_same_words_has_not_drifted():
    drift = Drift(10)
    drift.seen(Head("hi", "a bot"), answered=True)
    assert not drift.seen(Head("hi", "another bot"), answered=False)


def test_a_conversation_that_was_never_seen_has_not_drifted():
    assert not Drift(10).seen(Head("hi", "one"), answered=True)


def test_only_so_many_are_remembered_and_the_one_not_seen_for_longest_goes():
    drift = Drift(2)
    for start in ("a", "b", "a", "c"):
        drift.seen(Head(start, "one"), answered=True)
    assert len(drift) == 2
    assert [drift.seen(Head(start, "two"), answered=True) for start in ("a", "b")] == [True, False]
