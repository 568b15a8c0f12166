"""
What a client sees when a provider fails: every row of README.md's fault table, made on real sockets. The measuring is
in tests/fault_table.py, which also writes the table.
"""

import pytest
from fault_table import BEGIN, FAULTS, FINISH, README, markdown, met

WHOLE = "200, whole"
EVENT = "200, the events so far, an error event `{}`, then cut"
PART = "200, what came so far, then cut"

# The fault: (client, attempts, failover, pin) with another model in the route, (client, attempts) with no other.
EXPECTED = {
    "connection refused": ((WHOLE, 2, "connect", "kept"), ("502 `upstream_unreachable`", 3)),
    "its certificate is not trusted": ((WHOLE, 2, "tls", "kept"), ("502 `upstream_unreachable`", 1)),
    "its name cannot be resolved": ((WHOLE, 2, "dns", "kept"), ("502 `upstream_unreachable`", 3)),
    "not connected within `connect`": ((WHOLE, 2, "connect", "kept"), ("504 `upstream_timeout`", 3)),
    "no headers within `first_byte`": ((WHOLE, 2, "timeout", "kept"), ("504 `upstream_timeout`", 1)),
    "429 without `Retry-After`": ((WHOLE, 2, "rate_limited", "kept"), ("429 as the provider sent it", 1)),
    "429 with `Retry-After: 1`, then well again": ((WHOLE, 2, "rate_limited", "kept"), (WHOLE, 2)),
    "429 with `Retry-After: 60`": (
        (WHOLE, 2, "rate_limited", "kept"),
        ("429 as the provider sent it, `Retry-After: 60`", 1),
    ),
    "500": ((WHOLE, 2, "server_error", "kept"), ("500 as the provider sent it", 3)),
    "503": ((WHOLE, 2, "server_error", "kept"), ("503 as the provider sent it", 3)),
    "529": ((WHOLE, 2, "server_error", "kept"), ("529 as the provider sent it", 3)),
    "503, the fifth time in a row": ((WHOLE, 2, "server_error", "moved"), ("503 as the provider sent it", 3)),
    "401: our key is refused": ((WHOLE, 2, "key_refused", "moved"), ("401 as the provider sent it", 1)),
    "404: it has no such model": ((WHOLE, 2, "model_unknown", "moved"), ("404 as the provider sent it", 1)),
    "400: it refuses the request": (
        ("400 as the provider sent it", 1, "-", "kept"),
        ("400 as the provider sent it", 1),
    ),
    "closes instead of answering": ((WHOLE, 2, "reset", "kept"), ("502 `upstream_unreachable`", 3)),
    "cut after its headers": ((WHOLE, 2, "reset", "kept"), ("502 `upstream_reset`", 3)),
    "cut between two events": ((EVENT.format("upstream_reset"), 1, "-", "kept"), (EVENT.format("upstream_reset"), 1)),
    "cut in mid-event": ((PART, 1, "-", "kept"), (PART, 1)),
    "stalls in mid-stream": ((EVENT.format("upstream_timeout"), 1, "-", "kept"), (EVENT.format("upstream_timeout"), 1)),
    "malformed chunk in mid-stream": (
        (EVENT.format("upstream_reset"), 1, "-", "kept"),
        (EVENT.format("upstream_reset"), 1),
    ),
    "malformed chunk at once": ((WHOLE, 2, "reset", "kept"), ("502 `upstream_unreachable`", 3)),
    "`content-length` too long": ((PART, 1, "-", "kept"), (PART, 1)),
    "the client goes before the first byte": (("–", 1, "-", "kept"), ("–", 1)),
    "the client goes after the first byte": (("–", 1, "-", "kept"), ("–", 1)),
}


@pytest.fixture(scope="module")
def seen():
    """Each fault is made once: what its own test saw is what the table is compared with."""
    return {}


async def _met(fault, seen):
    if fault.name not in seen:
        seen[fault.name] = await met(fault)
    return seen[fault.name]


def test_every_fault_has_its_expectation():
    assert [fault.name for fault in FAULTS] == list(EXPECTED)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_what_becomes_of_a_request_whose_provider_fails(fault, seen):
    other, alone = await _met(fault, seen)
    (client, attempts, failover, pin), (alone_client, alone_attempts) = EXPECTED[fault.name]
    assert (other.client, other.attempts, other.failover, other.pin) == (client, str(attempts), failover, pin)
    assert (alone.client, alone.attempts, alone.pin) == (alone_client, str(alone_attempts), "kept")
    if pin == "moved":
        assert other.pin_word == "moved"
    causes = [name for name in other.metrics if name.startswith("failovers")]
    assert causes == ([] if failover == "-" else [f'failovers{{pin="{pin}",reason="{failover}"}}'])


IN_MID_ANSWER = [fault for fault in FAULTS if fault.stream or fault.hangs_up or "content-length" in fault.name]
"""Where it matters how an answer is written; before it begins nothing is."""


@pytest.mark.parametrize("fault", IN_MID_ANSWER, ids=lambda fault: fault.name)
async def test_it_is_the_same_where_answers_are_written_by_what_aiohttp_offers_in_public(fault, seen):
    assert await met(fault, fast_path=False) == await _met(fault, seen)


async def test_the_table_in_the_readme_is_what_happens(seen):
    text = README.read_text()
    table = text[text.index(BEGIN) + len(BEGIN) : text.index(FINISH)]
    assert table == markdown([await _met(fault, seen) for fault in FAULTS]), "python tests/fault_table.py --write"
