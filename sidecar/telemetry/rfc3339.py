"""Times as logs have them: `2026-01-31T12:00:00.123Z` (https://www.rfc-editor.org/rfc/rfc3339)."""

import time
from functools import lru_cache

_DIGITS = tuple(f"{milliseconds:03d}" for milliseconds in range(1000))


def rfc3339(unix_s: float) -> str:
    """Unix time, in UTC and to the millisecond below."""
    milliseconds = int(unix_s * 1000)
    return f"{_to_the_second(milliseconds // 1000)}.{_DIGITS[milliseconds % 1000]}Z"


@lru_cache(maxsize=4)
def _to_the_second(unix_s: int) -> str:
    """The same for thousands of lines."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
