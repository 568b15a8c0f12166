"""The responses that may be continued: bounded in number, bytes and time."""

from sidecar.config.models import ResponsesState
from sidecar.stores.responses import ResponseStore


def store(now, **limits):
    return ResponseStore(ResponsesState(**limits), lambda: now[0])


def test_a_response_is_remembered_for_its_time_to_live():
    now = [0.0]
    kept = store(now, ttl_seconds=10)
    kept.put("a", b"items")
    now[0] = 9
    assert kept.get("a") == b"items"
    now[0] = 10
    assert kept.get("a") is None


def test_over_the_number_the_oldest_goes():
    kept = store([0.0], max_entries=2)
    for name in "abc":
        kept.put(name, b"x")
    assert [kept.get(name) for name in "abc"] == [None, b"x", b"x"]


def test_over_the_bytes_the_oldest_go_and_one_that_is_too_large_is_not_kept():
    kept = store([0.0], max_bytes=10)
    kept.put("a", b"x" * 6)
    kept.put("b", b"x" * 6)
    assert [kept.get("a"), kept.get("b")] == [None, b"x" * 6]
    kept.put("c", b"x" * 11)
    assert (kept.get("c"), len(kept)) == (None, 0)


def test_a_response_that_is_put_twice_counts_once():
    kept = store([0.0], max_bytes=10)
    kept.put("a", b"x" * 6)
    kept.put("a", b"y" * 6)
    assert kept.get("a") == b"y" * 6


def test_the_expired_are_forgotten_when_something_new_comes():
    now = [0.0]
    kept = store(now, ttl_seconds=10)
    kept.put("a", b"x")
    now[0] = 11
    kept.put("b", b"x")
    assert len(kept) == 1
