"""
`sidecar pins`: which session keeps which model, why, and changing it by hand.
"""

from collections.abc import Sequence
from typing import Any

from sidecar.errors import SidecarError
from sidecar.operator.answer import Answer
from sidecar.operator.calling import AdminPort, Refused, in_path
from sidecar.operator.tables import Column, Look, clean, number, span, table

_PAGE = 1000
"""So many pins are asked for at once: all that an answer may hold, for each looks through the whole table."""

_PATHS = ("export", "import", "move")
"""Sessions of these names cannot be asked for by path: it is another's."""

_APART = ("tenant", "lane")
"""What tells pins of one session id apart; shown where there is any."""

_COLUMNS = (
    Column("MODEL"),
    Column("ROUTE"),
    Column("REASON"),
    Column("SOURCE"),
    Column("TURNS", right=True),
    Column("AGE", right=True),
    Column("ENDS IN", right=True),
)

_WHY = {
    "routed": "the classifier chose this route",
    "no_match": "the classifier found no route that fits, so the request's own model or the default answers",
    "no_routes": "there were no routes to choose from, so the request's own model or the default answers",
    "model_gone": "the model it had before is no longer configured, so it was routed anew",
    "prefix_changed": "the conversation went on under another system prompt or other tools, so it was routed anew",
    "failover": "the model it had before failed for good, or again and again",
    "operator": "somebody pinned it by hand",
    "classifier_error": "the classifier failed, so the request's own model or the default answers",
    "classifier_timeout": "the classifier was late, so the request's own model or the default answers",
    "classifier_open": "the classifier had failed too often and was not asked, so the request's own model or the "
    "default answers",
}
"""sidecar.routing.decision.Reason, in words."""


class NoSuchPin(SidecarError):
    """The session has no pin."""

    code = "pin_not_found"


def listed(port: AdminPort, look: Look, limit: int, **filters: str | None) -> Answer:
    """At most `limit` live pins; `filters`: model, route, source."""
    found: list[dict[str, Any]] = []
    after, total = None, 0
    while len(found) < limit:
        page = port.get("/pins", **filters, limit=min(_PAGE, limit - len(found)), after=after)
        found += page["pins"]
        after, total = page["next"], page["total"]
        if after is None:
            break
    data = {"pins": found, "next": after, "total": total}
    chosen = " ".join(f"--{name} {value}" for name, value in filters.items() if value)
    if not found:
        return Answer(data, [f"no pins with {clean(chosen)}, of {number(total)}" if chosen else "no pins"])
    more = "more with --limit" if after is not None else f"with {clean(chosen)}" if chosen else ""
    shown = f"{number(len(found))} of {number(total)}" + (f", {more}" if more else "")
    apart = [name for name in _APART if any(pin.get(name) for pin in found)]
    columns = (Column("SESSION"), *(Column(name.upper()) for name in apart), *_COLUMNS)
    return Answer(data, [*table(columns, (_row(pin, apart) for pin in found), look), look.cut(shown)])


def _row(pin: dict[str, Any], apart: Sequence[str]) -> tuple[object, ...]:
    return (
        pin["session_id"],
        *(pin.get(name) for name in apart),
        pin["model"],
        pin["route"],
        pin["reason"],
        pin["source"],
        number(pin["turns"]),
        span(pin["age_seconds"]),
        span(pin["expires_in_seconds"]),
    )


def got(port: AdminPort, session: str, **key: str | None) -> Answer:
    """The whole story of one session's pin; `key`: tenant, lane. Raises NoSuchPin."""
    pin = _of_one(port, "GET", session, key)
    return Answer(pin, _story(pin))


def put(port: AdminPort, session: str, model: str, route: str | None, **key: str | None) -> Answer:
    """Pins a session by hand."""
    body = {"model": model} if route is None else {"model": model, "route": route}
    pin = _of_one(port, "PUT", session, key, body)
    return Answer(pin, [f"{clean(session)} keeps {clean(pin['model'])} for {span(pin['expires_in_seconds'])}"])


def deleted(port: AdminPort, session: str, **key: str | None) -> Answer:
    """Forgets a session's pin: its next request is routed anew. Raises NoSuchPin."""
    _of_one(port, "DELETE", session, key)
    return Answer({"deleted": session}, [f"{clean(session)} is forgotten: its next request is routed anew"])


def moved(port: AdminPort, source: str, target: str) -> Answer:
    """Takes every session off one model and to another."""
    count = port.patient().call("POST", "/pins/move", {"from": source, "to": target})["moved"]
    sessions = "1 session" if count == 1 else f"{number(count)} sessions"
    return Answer({"moved": count}, [f"{sessions} moved from {clean(source)} to {clean(target)}"])


def _of_one(
    port: AdminPort, method: str, session: str, key: dict[str, str | None], body: dict[str, str] | None = None
) -> Any:
    given = {name: value for name, value in key.items() if value}
    if method == "GET" and session in _PATHS:
        found = port.get("/pins", session_id=session, limit=1)["pins"]
        if found:
            return found[0]
        raise _no_pin(session)
    try:
        return port.call(method, f"/pins/{in_path(session)}", given, body)
    except Refused as exc:
        if exc.code == NoSuchPin.code:
            raise _no_pin(session) from exc
        raise


def _no_pin(session: str) -> NoSuchPin:
    return NoSuchPin(f"{clean(session)} has no pin: it made no request that was pinned, or its pin has ended")


def _story(pin: dict[str, Any]) -> list[str]:
    """In sentences. What is not there is not mentioned."""
    model, *others = map(clean, pin["models"])
    named = f", which {clean(pin['source'])} named," if pin["source"] else ""
    lines = [f"session {clean(pin['session_id'])}{named} keeps {model}."]
    lines += [f"  {name}: {clean(pin[name])}" for name in ("tenant", "lane") if pin[name]]
    lines.append(f"  Decided {span(pin['age_seconds'])} ago, at {clean(pin['decided_at'])}: {_why(pin)}.")
    requests = "one request" if pin["turns"] == 1 else f"{number(pin['turns'])} requests"
    lines.append(f"  {requests} so far; without another one it ends in {span(pin['expires_in_seconds'])}.".capitalize())
    if others:
        lines.append(f"  If {model} fails, {', then '.join(others)} may answer.")
    if pin["mixed"]:
        lines.append("  More than one provider may have answered it.")
    if pin["last_failover"]:
        lines.append(f"  {_failover(pin['last_failover'])}")
    if pin["scores"]:
        lines.append("  What the classifier thought of the routes:")
        lines += [f"    {score:6.3f} {clean(route)}" for route, score in pin["scores"]]
    return lines


def _why(pin: dict[str, Any]) -> str:
    route = f"route {clean(pin['route'])}" if pin["route"] else "no route"
    sure = "" if pin["confidence"] is None else f", confidence {pin['confidence']:.2f}"
    return f"{route}, {_WHY.get(pin['reason'], clean(pin['reason']))}{sure}"


def _failover(failover: dict[str, Any]) -> str:
    who = failover["answered_by"]
    answered = f"{clean(who)} answered instead" if who else "nobody could answer instead"
    return f"At {clean(failover['at'])} its model failed ({clean(failover['reason'])}); {answered}."
