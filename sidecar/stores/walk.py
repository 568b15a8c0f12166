"""Every session that a Redis has pins of: a walk over all its keys, some hundred at a time."""

from collections.abc import AsyncIterator, Callable

from sidecar.routing.session import SessionKey
from sidecar.stores.pipelined import Pipelined

SCANNED_AT_ONCE = 200
"""Keys asked for at a time: some milliseconds of this process and one of Redis's."""
SCAN_TIMEOUT_S = 2.0
"""The longest that one batch of a scan may take; no request waits for it."""


class Walk:
    """Over the keys that begin with `prefix`. `clock` as of `RedisStore`."""

    def __init__(self, redis: Pipelined, prefix: bytes, clock: Callable[[], float] | None) -> None:
        self._redis = redis
        self._prefix = prefix
        self._clock = clock

    def key_of(self, name: bytes, source: str) -> SessionKey | None:
        """None for somebody else's key under our prefix."""
        try:
            return SessionKey.decoded(name[len(self._prefix) :].decode("utf-8", "surrogatepass"), source)
        except ValueError:
            return None

    async def records(self) -> AsyncIterator[tuple[bytes, bytes, float]]:
        """(key, what stands there, the time) of every session's key, each once. Raises StoreDown."""
        seen: set[bytes] = set()
        async for names in self._redis.names(self._prefix, SCANNED_AT_ONCE, SCAN_TIMEOUT_S):
            new = [name for name in dict.fromkeys(names) if name not in seen and self.key_of(name, "") is not None]
            seen.update(new)
            records = await self._redis.values(new, SCAN_TIMEOUT_S)
            now = await self._now()
            for name, record in zip(new, records, strict=True):
                if record is not None:
                    yield name, record, now

    async def _now(self) -> float:
        if self._clock is not None:
            return self._clock()
        seconds, microseconds = await self._redis.ask("TIME", within_s=SCAN_TIMEOUT_S)
        return int(seconds) + int(microseconds) / 1e6
