"""Many are told at once, and nobody who reads can see it."""

import asyncio
import logging

from records import ended, record

from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.telemetry.counts import kind_of
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.recent import Recent
from sidecar.telemetry.telling import MOST, Telling


def itself(record):
    """What makes a record of what is one already."""
    return record


def count(record, counts):
    ended(record).count(counts)


def telling_of(tellers, counters=(), record_of=itself):
    return Telling(record_of, tellers, count, counters)


def statuses(counts):
    return [kind_of(kind).status for kind, those in counts.alike.items() for _ in those]


async def test_records_are_told_to_each_teller_in_their_order_once_there_are_many():
    one, other = [], []
    telling = telling_of([one.append, other.append])
    records = [record(status=200 + n) for n in range(MOST)]
    for each in records[:-1]:
        telling.told(each)
    assert not one
    telling.told(records[-1])
    assert one == other == records


async def test_a_record_that_stays_alone_is_told_all_the_same():
    told = asyncio.Queue()
    telling = telling_of([told.put_nowait])
    for _ in range(2):  # each time anew
        alone = record()
        telling.told(alone)
        assert await asyncio.wait_for(told.get(), 5) is alone


async def test_each_record_is_told_once_whoever_catches_up_first():
    told = []
    telling = telling_of([told.append])
    for _ in range(3):
        telling.told(record())
    telling.catch_up()
    telling.catch_up()
    assert len(told) == 3


async def test_after_the_end_everything_is_told_at_once():
    told = []
    telling = telling_of([told.append])
    telling.told(record())
    telling.stop()
    assert len(told) == 1
    telling.told(record())
    assert len(told) == 2


async def test_a_teller_that_fails_costs_the_others_nothing_and_is_told_to_the_log(caplog):
    def fail(_record):
        raise ValueError("no room")

    told = []
    telling = telling_of([fail, told.append])
    telling.told(record())
    telling.told(record())
    with caplog.at_level(logging.ERROR):
        telling.catch_up()
    assert (len(told), len(caplog.records)) == (2, 2)


async def test_a_counter_is_told_of_all_at_once_and_before_the_others():
    told = []
    telling = telling_of(
        [lambda record: told.append(record.status)], [lambda counts: told.append(sorted(statuses(counts)))]
    )
    for status in (200, 404):
        telling.told(record(status=status))
    telling.catch_up()
    assert told == [[200, 404], 200, 404]


async def test_a_counter_that_fails_costs_the_others_nothing_and_is_told_to_the_log(caplog):
    def fail(_counts):
        raise ValueError("no room")

    told, counted = [], []
    telling = telling_of([told.append], [fail, lambda counts: counted.extend(statuses(counts))])
    telling.told(record())
    with caplog.at_level(logging.ERROR):
        telling.catch_up()
    assert (len(told), len(counted), len(caplog.records)) == (1, 1, 1)


async def test_a_record_is_made_when_it_is_told_and_one_that_cannot_be_made_costs_the_others_nothing(caplog):
    made, told = [], []

    def make(status):
        made.append(status)
        return record(status=int(status))

    telling = telling_of([told.append], record_of=make)
    for status in ("200", "none", "404"):
        telling.told(status)
    assert not made
    with caplog.at_level(logging.ERROR):
        telling.catch_up()
    assert ([each.status for each in told], len(caplog.records)) == ([200, 404], 1)


async def test_who_reads_finds_what_was_told_a_moment_ago():
    metrics, recent = Metrics(models=["a/b"], routes=()), Recent(lambda: 1_700_000_000.0)
    telling = telling_of([], [metrics.told, recent.told])
    metrics.before_read(telling.catch_up)
    recent.before_read(telling.catch_up)
    decided = record(endpoint="/x", decision=Decision(("a/b",), None, Reason.NO_ROUTES, Lookup.NONE))
    telling.told(decided)
    families = {family.name: family for family in metrics.registry.collect()}
    assert [each.value for each in families["sidecar_http_requests"].samples] == [1.0]
    telling.told(decided)
    assert recent.snapshot()["requests_total"] == 2


async def test_no_record_is_made_where_nobody_is_told_of_each():
    def make(_record):
        raise AssertionError

    counted = []
    telling = telling_of([], [lambda counts: counted.extend(statuses(counts))], record_of=make)
    telling.told(record())
    telling.catch_up()
    assert counted == [200]


async def test_what_cannot_be_counted_costs_the_others_nothing_and_is_told_to_the_log(caplog):
    counted = []
    telling = telling_of([], [lambda counts: counted.extend(statuses(counts))])
    for each in (record(), record(attempts=(None,)), record(status=404)):
        telling.told(each)
    with caplog.at_level(logging.ERROR):
        telling.catch_up()
    assert (counted, len(caplog.records)) == ([200, 404], 1)
