"""
`sidecar top`: one look at a sidecar at work, as data and as a page of text.

    /recent, /clusters, /server_info ──digest──▶ data (that is what --json shows) ──frame──▶ lines

Rates are those of the last 1, 5 and 15 minutes, from the steps of five seconds that `/recent` keeps.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.operator.answer import Answer
from sidecar.operator.calling import AdminError, AdminPort
from sidecar.operator.lookups import OUTCOMES, hit_rate
from sidecar.operator.screen import Screen
from sidecar.operator.tables import BOLD, DIM, GREEN, RED, YELLOW, Column, Look, clean, number, share, span, table

MINUTES = (1, 5, 15)
_MOST_PROVIDERS = 12
_MOST_MODELS = 6
_LEAST_DECISIONS = 3

_PINS = (Column("PINS BY MODEL"), Column("SESSIONS", right=True), Column("SHARE", right=True))
_PROVIDERS = (
    Column("PROVIDER"),
    Column("HEALTH"),
    Column("KEY"),
    Column("ACTIVE", right=True),
    Column("PENDING", right=True),
    Column("ANSWERED", right=True),
    Column("FAILED", right=True),
    Column("EJECTED", right=True),
    Column("LAST ERROR"),
)
_DECISIONS = (
    Column("TIME"),
    Column("MODEL"),
    Column("ROUTE"),
    Column("REASON"),
    Column("PIN"),
    Column("SOURCE"),
    Column("MS", right=True),
    Column("STATUS", right=True),
    Column("FAILOVER"),
    Column("ERROR"),
)


def look_at(port: AdminPort) -> dict[str, Any]:
    """What is shown. Raises AdminError."""
    recent, clusters, info = port.get("/recent"), port.get("/clusters", format="json"), port.get("/server_info")
    return {"admin": port.url, **digest(recent, clusters["clusters"], info)}


def once(port: AdminPort, look: Look) -> Answer:
    """One page, of any length. Raises AdminError."""
    seen = look_at(port)
    return Answer(seen, frame(seen, look))


def digest(recent: Mapping[str, Any], clusters: list[Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """
    `hit_rate` is 0 to 1 or null, `requests_per_second` and `errors_per_second` a number, each by minutes; `lookups`
    are those of the last 15 minutes by outcome; the rest is as the admin port has it.
    """
    windows = {minutes: _window(recent, minutes) for minutes in MINUTES}
    return {
        "version": info["version"],
        "state": info["state"],
        "uptime_seconds": info["uptime_seconds"],
        "source": info["config"]["source"],
        "hit_rate": {f"{minutes}m": hit_rate(_sums(recent["lookups"][at:])) for minutes, (at, _) in windows.items()},
        "requests_per_second": {f"{m}m": _per_second(recent, m, info, "count") for m in MINUTES},
        "errors_per_second": {f"{m}m": _per_second(recent, m, info, "errors") for m in MINUTES},
        "lookups": _sums(recent["lookups"]),
        "pins": recent["pins"],
        "providers": clusters,
        "decisions": recent["decisions"],
    }


def _window(recent: Mapping[str, Any], minutes: int) -> tuple[int, float]:
    """Where in the steps the last minutes begin, and how many seconds that is ago: the last step is not over yet."""
    steps = recent["requests"]
    at = max(0, len(steps) - minutes * 60 // recent["step_seconds"])
    return at, (recent["now"] - steps[at]["at"]) if steps else 0.0


def _per_second(recent: Mapping[str, Any], minutes: int, info: Mapping[str, Any], what: str) -> float:
    at, seconds = _window(recent, minutes)
    count: int = sum(step[what] for step in recent["requests"][at:])
    spent: float = max(1.0, min(seconds, info["uptime_seconds"]))
    return round(count / spent, 3)


def _sums(steps: list[dict[str, Any]]) -> dict[str, int]:
    return {outcome: sum(step.get(outcome, 0) for step in steps) for outcome in OUTCOMES}


def frame(
    seen: Mapping[str, Any], look: Look, height: int | None = None, hour: Callable[[float], str] | None = None
) -> list[str]:
    """
    `seen` as `digest` gives it; at most `height` lines. `hour`: a Unix time as a time of day, the local one without.
    """
    lines = [*_head(seen, look), "", *_models(seen, look), "", *_providers(seen, look), ""]
    room = len(seen["decisions"]) if height is None else max(_LEAST_DECISIONS, height - len(lines) - 1)
    lines += _decisions(seen, look, room, hour or _local_hour)
    return lines if height is None else lines[:height]


def _head(seen: Mapping[str, Any], look: Look) -> list[str]:
    well = seen["state"] == "serving"
    title = f"sidecar {seen['version']}  {seen['state']}  up {span(seen['uptime_seconds'])}"
    where = look.cut(clean(f"{title}  {seen['admin']}  {seen['source']}"))
    rates = [f"{m} min {_percent(seen['hit_rate'][f'{m}m'])}" for m in MINUTES]
    requests = [f"{m} min {seen['requests_per_second'][f'{m}m']:.1f}" for m in MINUTES]
    errors = [f"{m} min {seen['errors_per_second'][f'{m}m']:.1f}" for m in MINUTES]
    lookups = [f"{name} {number(count)}" for name, count in seen["lookups"].items() if count]
    return [
        look.paint(where, BOLD if well else RED),
        look.cut(f"hit rate    {'   '.join(rates)}"),
        look.cut(f"requests/s  {'   '.join(requests)}     errors/s  {'   '.join(errors)}"),
        look.cut(f"lookups     {'   '.join(lookups) or 'none'}"),
    ]


def _percent(rate: float | None) -> str:
    return "-" if rate is None else share(rate, 1)


def _models(seen: Mapping[str, Any], look: Look) -> list[str]:
    total = sum(seen["pins"].values())
    most = sorted(((model, count) for model, count in seen["pins"].items() if count), key=lambda pair: -pair[1])
    rows: list[tuple[object, ...]]
    rows = [(model, number(count), share(count, total)) for model, count in most[:_MOST_MODELS]]
    if rest := sum(count for _, count in most[_MOST_MODELS:]):
        rows.append((f"{len(most) - _MOST_MODELS} more", number(rest), share(rest, total)))
    return table(_PINS, rows or [("no live pins", None, None)], look)


def _providers(seen: Mapping[str, Any], look: Look) -> list[str]:
    """Those that are not well stand first."""
    every = sorted(seen["providers"], key=lambda each: each["health"] == "healthy")
    shown = every[:_MOST_PROVIDERS]
    lines = table(_PROVIDERS, map(_provider, shown), look)
    colours = [{"healthy": GREEN, "ejected": RED}.get(each["health"], YELLOW) for each in shown]
    painted = [
        line if colour == GREEN else look.paint(line, colour) for line, colour in zip(lines[1:], colours, strict=True)
    ]
    more = [look.paint(f"{len(every) - len(shown)} more", DIM)] if len(every) > len(shown) else []
    return [lines[0], *painted, *more]


def _provider(each: Mapping[str, Any]) -> tuple[object, ...]:
    error = each["last_error"]
    left = each["ejected_for_seconds"]
    return (
        each["name"],
        each["health"],
        each["key"],
        each["active"],
        each["pending"],
        number(each["successes"]),
        number(each["failures"]),
        span(left) if left else None,
        None if error is None else error["cause"] + (f" ({error['status']})" if error["status"] else ""),
    )


def _decisions(seen: Mapping[str, Any], look: Look, room: int, hour: Callable[[float], str]) -> list[str]:
    shown = seen["decisions"][:room]
    if not shown:
        return [look.paint("no decisions yet", DIM)]
    lines = table(_DECISIONS, [_decision(each, hour) for each in shown], look)
    ok = [each["status"] < 400 for each in shown]  # noqa: PLR2004 - an error, says HTTP
    return [lines[0], *(line if fine else look.paint(line, RED) for line, fine in zip(lines[1:], ok, strict=True))]


def _decision(each: Mapping[str, Any], hour: Callable[[float], str]) -> tuple[object, ...]:
    return (
        hour(each["at"]),
        each["model"],
        each["route"],
        each["reason"],
        each["pin"],
        each["source"],
        f"{each['ms']:,.1f}",
        each["status"],
        each["failover"],
        each["code"],
    )


def _local_hour(unix_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_s))


def live(port: AdminPort, screen: Screen, interval_s: float, *, colour: bool) -> None:
    """
    Draws anew each interval until `q`. What cannot be reached at first is raised; what goes away later is said on the
    page, and asked again: a sidecar that restarts is worth waiting for.
    """
    seen, lost = look_at(port), ""
    while True:
        width, height = screen.size()
        look = Look(width, colour=colour)
        notice = [look.paint(look.cut(lost), RED)] if lost else []
        screen.draw([*notice, *frame(seen, look, height - len(notice))])
        if screen.wait(interval_s) in ("q", "Q"):
            return
        try:
            seen, lost = look_at(port), ""
        except AdminError as exc:
            lost = f"{exc}; what follows is from before, trying again"
