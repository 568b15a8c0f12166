from sidecar.server.merging import clusters, parts, recents


def snapshot(now, steps, decisions=(), pins=None, **totals):
    return {
        "now": now,
        "step_seconds": 5,
        "lookups": [{"at": at, "hit": count} for at, count in steps],
        "requests": [{"at": at, "count": count, "errors": 0} for at, count in steps],
        "decisions": [{"at": at} for at in decisions],
        "pins": pins or {},
        **totals,
    }


def test_steps_are_added_by_their_time_even_when_one_has_begun_a_new_one():
    merged = recents([snapshot(104, [(95, 1), (100, 2)]), snapshot(105.1, [(100, 3), (105, 4)])])
    assert merged["requests"] == [{"at": 100, "count": 5, "errors": 0}, {"at": 105, "count": 4, "errors": 0}]
    assert [step["hit"] for step in merged["lookups"]] == [5, 4]
    assert (merged["now"], merged["step_seconds"]) == (105.1, 5)


def test_totals_are_added_decisions_interleaved_and_pins_not_counted_twice():
    one = snapshot(100, [], [99, 90], {"a": 3, "b": 1}, requests_total=5)
    other = snapshot(101, [], [95], {"a": 2, "c": 1}, requests_total=6)
    merged = recents([one, other])
    assert merged["requests_total"] == 11
    assert [decision["at"] for decision in merged["decisions"]] == [99, 95, 90]
    assert merged["pins"] == {"a": 3, "b": 1, "c": 1}


def cluster(**more):
    return {"name": "p", "health": "healthy", "successes": 1, "ejected_for_seconds": 0.0, "last_error": None, **more}


def test_a_provider_is_as_the_worker_sees_it_that_sees_worst():
    early, late = ({"at": f"2026-01-31T08:00:0{n}.000Z", "cause": "reset", "status": None} for n in (1, 2))
    seen = cluster(health="ejected", ejected_for_seconds=3.0, last_error=early)
    (merged,) = clusters([[cluster(last_error=late)], [seen], [cluster(health="probing")]])
    expected = {"name": "p", "health": "ejected", "successes": 3, "ejected_for_seconds": 3.0, "last_error": late}
    assert merged == expected


def test_what_all_workers_say_is_said_once_and_else_who_says_it():
    one = "[+] keys: all set\n[+] pins: 3 of at most 10\nOK\n"
    other = "[+] keys: all set\n[-] pins: 4 of at most 10\nOK\n"
    assert parts({1: one, 2: other}) == [
        "[+] keys: all set",
        "[+] pins (worker 1): 3 of at most 10",
        "[-] pins (worker 2): 4 of at most 10",
    ]


def test_providers_that_one_worker_alone_has_are_shown_too():
    """For the moment of a reload, and for a worker that refused it."""
    merged = clusters([[cluster(), cluster(name="old")], [cluster(name="new"), cluster()]])
    assert {each["name"]: each["successes"] for each in merged} == {"p": 2, "old": 1, "new": 1}
