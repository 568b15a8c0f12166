"""
Tells what watches of requests, some at a time.

A few dozen requests in a row are counted, and their records made and told of: a third of what that takes after each
request, when nothing that it needs is at hand in the processor any more. Nobody can see the difference: who reads what
was told (a scrape, the console) has everything told before, and so has the end. A log line or a span, which others wait
for already, leaves some hundredths of a second later. Records are made only where somebody is told of each.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from sidecar.telemetry.counts import Counter, Counts
from sidecar.telemetry.record import Record, Teller

faults = logging.getLogger("sidecar.telemetry")

MOST = 24
"""Requests at once: half a millisecond of the event loop's time at most, with an access log."""
LATEST_S = 0.02
"""The longest that a request waits for others."""
Ended = TypeVar("Ended")
"""What is kept of a request that is over until its record is made."""


class Telling(Generic[Ended]):
    """
    `tellers` are told of each request, by the record that `record_of` makes; before them `counters`, of several at a
    time, by what `count` adds up of each. It belongs to one event loop.
    """

    def __init__(
        self,
        record_of: Callable[[Ended], Record],
        tellers: Iterable[Teller],
        count: Callable[[Ended, Counts], None],
        counters: Iterable[Counter],
    ) -> None:
        self._record_of = record_of
        self._tellers = tuple(tellers)
        self._count = count
        self._counters = tuple(counters)
        self._waiting: list[Ended] = []
        self._is_due = False
        self._most = MOST

    def told(self, ended: Ended) -> None:
        """Remembers a request that is over, and tells of it soon."""
        waiting = self._waiting
        waiting.append(ended)
        if len(waiting) >= self._most:
            self.catch_up()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(LATEST_S, self._due)

    def catch_up(self) -> None:
        """Tells of all that was remembered. Call it before reading what a teller made of it."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        if self._counters:
            self._tell_counters(waiting)
        if self._tellers:
            self._tell_each(self._records(waiting))

    def stop(self) -> None:
        """The end is near: tells of all, and from now on of each at once."""
        self._most = 1
        self.catch_up()

    def _due(self) -> None:
        self._is_due = False
        self.catch_up()

    def _tell_counters(self, waiting: Iterable[Ended]) -> None:
        counts, count = Counts(), self._count
        for ended in waiting:
            try:
                count(ended, counts)
            except Exception:  # noqa: BLE001 - what is told of an answer is never worth another's
                faults.exception("unexpected, in telemetry")
        for told in self._counters:
            try:
                told(counts)
            except Exception:  # noqa: BLE001 - likewise
                faults.exception("unexpected, in telemetry")

    def _tell_each(self, records: Iterable[Record]) -> None:
        for tell in self._tellers:
            for record in records:
                try:
                    tell(record)
                except Exception:  # noqa: BLE001 - likewise
                    faults.exception("unexpected, in telemetry", extra={"trace": record.trace.trace_id})

    def _records(self, waiting: Sequence[Ended]) -> list[Record]:
        records, record_of = [], self._record_of
        for ended in waiting:
            try:
                records.append(record_of(ended))
            except Exception:  # noqa: BLE001 - likewise
                faults.exception("unexpected, in telemetry")
        return records
