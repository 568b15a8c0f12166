"""
The numbers that fields may hold: the check beside the field, and the words for a message about it.
"""

from typing import Any

import attrs
from attrs import frozen

MIB = 1024 * 1024


@frozen
class Range:
    """The numbers a field may hold: the check beside the field, and the words for a message about it."""

    low: float
    high: float
    above: bool = False
    """Whether `low` itself is too little."""

    def __contains__(self, value: float) -> bool:
        # Written so that NaN is in no range.
        return (value > self.low if self.above else value >= self.low) and value <= self.high

    def __call__(self, _instance: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
        if value not in self:
            raise ValueError(f"{attribute.name} must be {self.bound(value)}, got {value!r}")

    def bound(self, value: float | None) -> str:
        """The bound that `value` breaks; of something that is no number at all, the lower one."""
        if value is not None and value > self.high:
            return f"at most {self.high:.15g}"
        return f"{'more than' if self.above else 'at least'} {self.low:.15g}"


PORT = Range(0, 65535)
TIMEOUT_S = Range(0, 24 * 3600, above=True)
DURATION_S = Range(0, 24 * 3600)
"""Where 0 means none, or no bound."""
BODY_BYTES = Range(1, 1024 * MIB)
HEADER_BYTES = Range(1024, MIB)
COUNT = Range(0, 1_000_000_000)
"""Where 0 means no bound."""
FRACTION = Range(0, 1)
PER_CENT = Range(0, 100)
FAILURES = Range(1, 1000)
ATTEMPTS = Range(1, 10)
REQUESTS = Range(1, 1_000_000)
PENDING = Range(0, 1_000_000)
SESSION_TTL_SECONDS = Range(1, 30 * 86400)
SESSION_ENTRIES = Range(1, 10_000_000)
COPIES = Range(0, 10_000_000)
WORKERS = Range(1, 128)
