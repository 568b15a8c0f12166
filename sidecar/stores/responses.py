"""
The responses that may be continued: id -> the items that led to it. In this process, bounded in number, bytes and time.

An id is a secret of whoever got it; a request that does not know one cannot continue it.
"""

from collections import OrderedDict
from collections.abc import Callable

from attrs import frozen

from sidecar.config.models import ResponsesState


@frozen
class _Kept:
    items: bytes
    expires_at: float


class ResponseStore:
    """`clock`: seconds, never backwards. The oldest go first."""

    def __init__(self, limits: ResponsesState, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, response_id: str) -> bytes | None:
        """The items that led to a response and those it answered with; None when it is not remembered."""
        kept = self._kept.get(response_id)
        return kept.items if kept is not None and kept.expires_at > self._clock() else None

    def put(self, response_id: str, items: bytes) -> None:
        """Remembers a response. One that is larger than all that may be kept is not."""
        self._forget(response_id)
        self._kept[response_id] = _Kept(items, self._clock() + self._limits.ttl_seconds)
        self._bytes += len(items)
        while self._over():
            self._forget(next(iter(self._kept)))

    def _over(self) -> bool:
        if not self._kept:
            return False
        oldest = next(iter(self._kept.values()))
        return (
            len(self._kept) > self._limits.max_entries
            or self._bytes > self._limits.max_bytes
            or oldest.expires_at <= self._clock()
        )

    def _forget(self, response_id: str) -> None:
        kept = self._kept.pop(response_id, None)
        if kept is not None:
            self._bytes -= len(kept.items)
