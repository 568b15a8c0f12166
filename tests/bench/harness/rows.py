"""What is asked of whom. Every row is one interleaved run; what stands in one row may be compared."""

from enum import StrEnum

from attrs import frozen

from .candidates import Entry, Work

SIDECAR, REDIS = "sidecar", "sidecar, Redis"
SESSIONS = {"10 sessions": 10, "10,000 sessions": 10_000, "1,000,000 sessions": 1_000_000}
PROXIES = ("Envoy", "nginx", "HAProxy", "textbook aiohttp proxy")
GATEWAYS = ("TensorZero gateway", "NVIDIA Switchyard", "claude-code-router", "Portkey gateway", "LiteLLM")
HELLO = "aiohttp hello world"
DIRECT = "direct"
"""The provider itself, with nothing between."""


class Kind(StrEnum):
    REQUESTS = "requests"
    """As fast as they are answered."""
    ALONE = "alone"
    """One connection, one request after the other: what is added to the provider's own time."""
    STREAMS = "streams"
    """As fast as they are answered."""
    PACED = "paced"
    """All begin at once and come at the provider's pace."""


@frozen
class Row:
    name: str
    kind: Kind
    connections: int
    entries: tuple[Entry, ...]
    about: str

    def __contains__(self, label):
        return any(entry.label == label for entry in self.entries)

    @property
    def pivot(self):
        """The label that most of the others are compared with."""
        return next((entry.label for entry in self.entries if entry.label != DIRECT), "")


def each(work, *names):
    return tuple(Entry(name, work) for name in names)


def pace(count):
    entries = (
        *each(Work.PACED, DIRECT, SIDECAR, *PROXIES),
        Entry(SIDECAR, Work.PACED_TRANSLATED, "sidecar, translated"),
    )
    return Row(f"paced-{count}", Kind.PACED, count, entries, f"50 pieces, one every 10 ms, {count} streams open")


ROWS = (
    Row(
        "decisions",
        Kind.REQUESTS,
        16,
        (
            Entry(SIDECAR, Work.DECISION),
            Entry(HELLO, Work.DECISION),
            Entry(SIDECAR, Work.LARGE_DECISION, "sidecar, 100 KB"),
            Entry(SIDECAR, Work.HUGE_DECISION, "sidecar, 400 KB"),
            Entry(SIDECAR, Work.UNPINNED, "sidecar, not pinned"),
            Entry(REDIS, Work.DECISION),
        ),
        "decisions of a pinned session, 300 bytes, 16 connections",
    ),
    Row("decision-1", Kind.ALONE, 1, each(Work.DECISION, SIDECAR, REDIS), "a pinned decision, one connection"),
    Row("sessions", Kind.REQUESTS, 16, each(Work.SESSIONS, *SESSIONS), "pinned decisions, each of a session by chance"),
    *(
        Row(
            f"reply-{count}",
            Kind.REQUESTS,
            count,
            each(Work.REPLY, SIDECAR, *PROXIES, *GATEWAYS, REDIS),
            f"a small proxied reply, {count} connections",
        )
        for count in (16, 64)
    ),
    Row(
        "reply-1",
        Kind.ALONE,
        1,
        each(Work.REPLY, DIRECT, SIDECAR, *PROXIES, *GATEWAYS, REDIS),
        "likewise, one connection",
    ),
    Row(
        "reply-100k",
        Kind.REQUESTS,
        16,
        each(Work.LARGE_REPLY, SIDECAR, *PROXIES, *GATEWAYS),
        "a proxied request of 100 KB, 60 messages and 10 tools",
    ),
    Row(
        "streams",
        Kind.STREAMS,
        16,
        (
            *each(Work.STREAM, SIDECAR, *PROXIES, *GATEWAYS),
            Entry(SIDECAR, Work.TRANSLATED, "sidecar, translated"),
        ),
        "50 pieces as fast as they come, 16 streams open",
    ),
    *map(pace, (1, 64, 400)),
)
QUICK = (
    DIRECT,
    SIDECAR,
    REDIS,
    HELLO,
    "Envoy",
    "textbook aiohttp proxy",
    "sidecar, 100 KB",
    "sidecar, translated",
    "10 sessions",
    "10,000 sessions",
)
"""Labels that are asked with --quick."""


def quickly(row):
    """The row with those entries only."""
    entries = tuple(entry for entry in row.entries if entry.label in QUICK)
    return Row(row.name, row.kind, row.connections, entries, row.about)
