"""The targets, as data, and what became of each."""

from enum import StrEnum

from attrs import frozen

from .figures import Spread, compared, difference, ratio


class Verdict(StrEnum):
    STRETCH = "stretch met"
    MET = "met"
    MISSED = "missed"
    UNJUDGED = "not judged"


@frozen
class Target:
    """
    `row`, `ours`, `theirs`: labels, and `value` of both as a ratio, ours by theirs; or, with `less`, their difference in
    `unit`. Without a row `value` names a fact. `most`: the target and the stretch are upper bounds.
    """

    name: str
    value: str
    target: float
    stretch: float | None = None
    row: str = ""
    ours: str = "sidecar"
    theirs: str = ""
    most: bool = False
    less: bool = False
    scale: float = 1.0
    unit: str = "×"

    def holds(self, found, bound):
        return found <= bound if self.most else found >= bound


@frozen
class Outcome:
    target: Target
    found: Spread | None
    why: str = ""
    """Why it was not judged."""

    @property
    def verdict(self):
        if self.found is None:
            return Verdict.UNJUDGED
        if self.target.stretch is not None and self.target.holds(self.found.middle, self.target.stretch):
            return Verdict.STRETCH
        return Verdict.MET if self.target.holds(self.found.middle, self.target.target) else Verdict.MISSED

    @property
    def gap(self):
        """By how much it was missed, as a share of the target."""
        return abs(self.found.middle / self.target.target - 1)


def _envoy(row, value, target, stretch, name, **more):
    return Target(name, value, target, stretch, row, theirs="Envoy", **more)


def _times(theirs, target):
    return [
        Target(
            f"small replies, {count} connections, by {theirs}", "per_s", target, None, f"reply-{count}", theirs=theirs
        )
        for count in (16, 64)
    ]


def _paced():
    for count in (64, 400):
        name = f"CPU of a piece, {count} paced streams, by Envoy"
        yield _envoy(f"paced-{count}", "piece_us", 1.1, 0.85, name, most=True)


TARGETS = (
    *(_envoy(f"reply-{count}", "per_s", 0.8, 1.0, f"small replies, {count} connections, by Envoy") for count in (16, 64)),
    *_times("textbook aiohttp proxy", 2.2),
    _envoy("reply-1", "added_p50_us", 1.0, 0.8, "p50 added, one connection, by Envoy", most=True),
    _envoy("reply-100k", "per_s", 0.5, 0.7, "requests of 100 KB, by Envoy"),
    *_paced(),
    _envoy("paced-400", "first_p50_us", 1.0, 0.6, "time to first byte, 400 paced streams, by Envoy", most=True),
    Target("translated streams, by our own of one format", "per_core_s", 0.5, 0.7, "streams", "sidecar, translated", "sidecar"),
    Target("pinned decisions, by aiohttp's hello world", "per_s", 0.9, 1.1, "decisions", theirs="aiohttp hello world"),
    Target("pinned decisions of 100 KB, by small ones", "per_s", 0.3, 0.45, "decisions", "sidecar, 100 KB", "sidecar"),
    Target("p50 added by a hit in Redis", "p50_us", 0.35, None, "decision-1", "sidecar, Redis", "sidecar", most=True,
           less=True, scale=1e-3, unit=" ms"),
    Target("pinned decisions in Redis, by memory", "per_s", 0.3, 0.7, "decisions", "sidecar, Redis", "sidecar"),
    Target("longest hold of the loop by a scrape", "scrape_held_ms", 1.0, 0.3, most=True, unit=" ms"),
    *_times("LiteLLM", 100), *_times("Portkey gateway", 30), *_times("TensorZero gateway", 3), *_times("claude-code-router", 20),
    Target("1,000,000 sessions, by 10", "per_s", 0.95, None, "sessions", "1,000,000 sessions", "10 sessions"),
    Target("bytes of a pin", "pin_bytes", 1000, 400, most=True, unit=" B"),
    Target("resident, idle", "resident_idle_mb", 75, 60, most=True, unit=" MB"),
    Target("resident, at most under load", "resident_loaded_mb", 95, 80, most=True, unit=" MB"),
    Target("start to ready", "start_s", 0.8, 0.5, most=True, unit=" s"),
)  # fmt: skip


def judged(target, found, facts, *, regardless=False):
    """An Outcome. `found`: {row: {label: [Measured, …]}}; `facts`: {name: Spread}."""
    if not target.row:
        spread = facts.get(target.value)
        return Outcome(target, spread, "" if spread else "not measured")
    row = found.get(target.row, {})
    for label in (target.ours, target.theirs):
        if not row.get(label):
            return Outcome(target, None, f"{label} was not measured")
    value = in_spite(target.value) if regardless else target.value
    of = difference(value) if target.less else ratio(value)
    spread = compared(row[target.ours], row[target.theirs], of, regardless=regardless)
    if spread is None:
        return Outcome(target, None, _why(row[target.ours], target.ours) or _why(row[target.theirs], target.theirs))
    return Outcome(target, Spread(*(x * target.scale for x in (spread.middle, spread.low, spread.high)), spread.count))


def in_spite(value):
    """What is compared in its place where others had a share of the core."""
    return "per_core_s" if value == "per_s" else value


def _why(measured, label):
    flawed = [one for one in measured if one.flaws]
    if not flawed:
        return ""
    return f"{label}: in {len(flawed)} of {len(measured)} rounds {flawed[-1].flaws[0]}"
