"""
`POST /route`: what would be decided, and why. Nothing is pinned, used or counted.

    {"text": "…"}                        what a user would ask, or
    {"messages": […], …}                 a chat completion as clients send it, routing_preferences included
    "model", "session_id", "tenant", "lane" may come with either

A session that has a pin would be answered by it, so the pin decides here too; to see what the classifier makes of the
text, leave the session out. Chat completions only: that is what people have at hand to try.
"""

from collections.abc import Callable

from aiohttp import web
from attrs import frozen
from msgspec import UNSET, Raw, Struct, UnsetType

from sidecar.admin.answers import json_answer
from sidecar.admin.body import body_of, decoded
from sidecar.admin.pin_json import check_parts
from sidecar.config.catalog import Catalog
from sidecar.config.models import Route
from sidecar.config.routes import read_preferences
from sidecar.errors import RequestError
from sidecar.routing.ask import Ask
from sidecar.routing.decision import Decision
from sidecar.routing.router import Judge, Router
from sidecar.routing.session import SessionKey, checked
from sidecar.wire.conversation import Role, Turn
from sidecar.wire.formats import Format
from sidecar.wire.request import Request, parse
from sidecar.wire.whole import ModelName

MAX_PREFERENCES_BYTES = 64 * 1024
"""As for requests themselves."""


class _Asked(Struct):
    text: str | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    model: ModelName | None = None
    session_id: str | None = None
    tenant: str = ""
    lane: str = ""


@frozen
class Deciding:
    """What decides, by one configuration."""

    router: Router
    judge: Judge
    """Asks the classifier as requests do, but is not watched."""
    catalog: Catalog
    max_body_bytes: int
    """As for requests."""


class DryRun:
    """`now`: what decides now. `clock`: seconds, never backwards."""

    def __init__(self, now: Callable[[], Deciding], clock: Callable[[], float]) -> None:
        self._now = now
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/route", self.route)]

    async def route(self, request: web.Request) -> web.Response:
        """What would be decided for {"text": …} or a chat completion, and why; pins and counts nothing."""
        now = self._now()
        ask = _ask(await body_of(request, now.max_body_bytes), now.catalog)
        began = self._clock()
        decision = await now.router.preview(ask, now.judge)
        return json_answer(_told(decision, self._clock() - began))


def _ask(body: bytes, catalog: Catalog) -> Ask:
    """Raises RequestError."""
    asked = decoded(body, _Asked)
    session = _session(asked)
    if asked.messages is UNSET:
        if asked.text is UNSET:
            raise RequestError("name what to decide for: text, or messages")
        text = asked.text
        return Ask(asked.model, lambda: (Turn(Role.USER, text),), session)
    if asked.text is not UNSET:
        raise RequestError("name either text or messages, not both")
    request = parse(Format.CHAT, body)
    return Ask(request.model, request.conversation, session, None, lambda: _preferences(request, catalog))


def _preferences(request: Request, catalog: Catalog) -> tuple[Route, ...]:
    raw = bytes(request.preferences)
    if raw == b"null":
        return ()
    if len(raw) > MAX_PREFERENCES_BYTES:
        raise RequestError(f"routing_preferences must be at most {MAX_PREFERENCES_BYTES} bytes")
    return read_preferences(decoded(raw, object), catalog)


def _session(asked: _Asked) -> SessionKey | None:
    if asked.session_id is None:
        return None
    check_parts({"tenant": asked.tenant, "lane": asked.lane})
    return SessionKey(checked(asked.session_id, "session_id"), asked.tenant, asked.lane)


def _told(decision: Decision, seconds: float) -> dict[str, object]:
    """A pin tells what was made of the session's first request, a verdict what was made of this one."""
    pin, verdict = decision.pin_now, decision.verdict
    confidence: float | None = None
    scores: tuple[tuple[str, float], ...] = ()
    if pin is not None:
        confidence, scores = pin.confidence, pin.scores
    elif verdict is not None and not decision.failed:
        confidence, scores = verdict.confidence, verdict.scores
    return {
        "model": decision.model,
        "models": list(decision.candidates),
        "route": decision.route,
        "reason": decision.reason.value,
        "pinned": decision.pinned,
        "confidence": confidence,
        "scores": [list(score) for score in scores],
        "seconds": seconds,
    }
