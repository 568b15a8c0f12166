"""
The pins, for operators: who is pinned where and why, and the hand that moves them.

    GET    /pins?model=&route=&source=&session_id=&limit=&after=     a page of them, in the order of their keys
    GET    /pins/{session}?tenant=&lane=                             the story of one
    PUT    /pins/{session}?tenant=&lane=                             pin by hand: {"model": …} | {"models": […]}, "route"
    DELETE /pins/{session}?tenant=&lane=                             forget
    POST   /pins/move?from=&to=                                      every session off a model
    GET    /pins/export        POST /pins/import?overwrite           from one sidecar to another

The only place where session ids are shown as clients sent them; it answers loopback only. Percent-encode what is not to
be read as part of a URL; a `/` need not be. A session that is named `export`, `import` or `move` is found by `?session_id=`.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web
from attrs import evolve, frozen
from msgspec import Meta, Struct

from sidecar.admin.answers import json_answer
from sidecar.admin.body import body_of, decoded, lines_of
from sidecar.admin.pin_json import Name, check_parts, pin_json
from sidecar.admin.transfer import MAX_LINE_BYTES, Import, exported
from sidecar.config.catalog import Catalog
from sidecar.errors import MethodNotAllowed, RequestError
from sidecar.routing.decision import Held, Pin, Reason
from sidecar.routing.session import SessionKey, checked
from sidecar.routing.watch import MoveReason, PinWatch, tell
from sidecar.stores import PinStore

MAX_PUT_BYTES = 64 * 1024
MAX_IMPORT_BYTES = 64 * 1024 * 1024
MOST_LISTED = 1000
WRITTEN_AT_ONCE = 25
"""Pins, before the event loop may run something else: a third of a millisecond's worth."""
OPERATOR = "operator"
"""Who named a session that nobody but an operator has spoken of yet."""


class PinNotFound(RequestError):
    """The session has no pin, or had one that expired."""

    status = 404
    code = "pin_not_found"


class _ByHand(Struct, forbid_unknown_fields=True):
    model: Name | None = None
    models: Annotated[list[Name], Meta(min_length=1, max_length=100)] | None = None
    route: str | None = None


@frozen
class _Wanted:
    """Which pins to list; None where any will do."""

    model: str | None
    route: str | None
    """The empty string: pins without a route."""
    source: str | None
    session_id: str | None

    def fits(self, key: SessionKey, pin: Pin) -> bool:
        return (
            (self.model is None or pin.model == self.model)
            and (self.route is None or (pin.route or "") == self.route)
            and (self.source is None or pin.source == self.source)
            and (self.session_id is None or key.session_id == self.session_id)
        )


class PinsApi:
    """`catalog` and `routes`, the names of the configured ones: as they are now. `clock`: Unix time, seconds."""

    def __init__(
        self,
        store: PinStore,
        catalog: Callable[[], Catalog],
        routes: Callable[[], frozenset[str]],
        watch: PinWatch,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._routes = routes
        self._watch = watch
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/pins", self.page),
            web.get("/pins/export", self.export, allow_head=False),
            web.post("/pins/import", self.take_up),
            web.post("/pins/move", self.move),
            web.get("/pins/{session:(?s:.+)}", self.story),
            web.put("/pins/{session:(?s:.+)}", self.put),
            web.delete("/pins/{session:(?s:.+)}", self.delete),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """The live pins: ?model= ?route= ?source= ?session_id= ?limit= ?after=. In the order of their keys."""
        query = _query(request, "model", "route", "source", "session_id", "limit", "after")
        limit = _limit(query.get("limit", "100"))
        model = query.get("model")
        wanted = _Wanted(
            None if model is None else self._named(model),
            query.get("route"),
            query.get("source"),
            query.get("session_id"),
        )
        found = await self._found(wanted, _key_after(query.get("after", "")), limit)
        return json_answer(
            {
                "pins": await _written(found[:limit]),
                "next": _cursor(found[limit - 1][0]) if len(found) > limit else None,
                "total": await self._store.count(),
            }
        )

    async def _found(self, wanted: _Wanted, after: str, limit: int) -> list[tuple[str, SessionKey, Held]]:
        """The first `limit` after that key and one more, if there is one. Never keeps many more than that in memory."""
        found: list[tuple[str, SessionKey, Held]] = []
        async for key, held in self._store.scan():
            if key.encoded > after and wanted.fits(key, held.pin):
                found.append((key.encoded, key, held))
            if len(found) >= 2 * limit + 100:
                found = _first(found, limit + 1)
        return _first(found, limit + 1)

    async def story(self, request: web.Request) -> web.Response:
        """The whole story of one session: decision, scores, age, turns, last failover. ?tenant= ?lane=."""
        if request.match_info["session"] in ("import", "move"):
            raise MethodNotAllowed("this path takes POST only; for a session of that name see /pins?session_id=")
        key = _key(request)
        return self._told(key, await self._store.peek(key))

    async def put(self, request: web.Request) -> web.Response:
        """Pins a session by hand: {"model": …} or {"models": […]}, and "route". ?tenant= ?lane=."""
        key = _key(request)
        asked = decoded(await body_of(request, MAX_PUT_BYTES), _ByHand)
        if asked.route is not None and asked.route not in self._routes():
            raise RequestError("route: no configured route has this name", param="route")
        was = await self._store.peek(key)
        pin = Pin(
            self._candidates(asked),
            asked.route,
            Reason.OPERATOR,
            self._clock(),
            source=OPERATOR if was is None else was.pin.source,
        )
        if was is not None:
            pin = evolve(pin, mixed=was.pin.mixed or (was.turns > 0 and was.pin.model != pin.model))
        moved = await self._store.move(key, pin, used=False)
        tell(self._watch, moved, pin, MoveReason.OPERATOR)
        return self._told(key, moved.held)

    async def delete(self, request: web.Request) -> web.Response:
        """Forgets the pin of a session, which is routed anew at its next request. ?tenant= ?lane=."""
        if not await self._store.delete(_key(request)):
            raise PinNotFound("the session has no pin")
        return web.Response(status=204)

    async def move(self, request: web.Request) -> web.Response:
        """Takes every session off the model ?from= to the model ?to=. The first need not be configured any more."""
        query = _query(request, "from", "to")
        if not query.get("from") or not query.get("to"):
            raise RequestError("from and to must both name a model: POST /pins/move?from=A&to=B")
        gone, to = self._named(query["from"]), self._model(query["to"], "to")
        if gone == to:
            raise RequestError("from and to are the same model")
        moved = 0
        async for key, held in self._store.scan():
            if held.pin.model == gone:
                moved += await self._move_one(key, held, gone, to)
        return json_answer({"moved": moved})

    async def _move_one(self, key: SessionKey, held: Held, gone: str, to: str) -> bool:
        """Not if a request has moved it meanwhile. The model it leaves is no later choice either."""
        others = (model for model in held.pin.candidates if model not in (gone, to))
        pin = evolve(
            held.pin,
            candidates=(to, *others),
            reason=Reason.OPERATOR,
            decided_at_s=self._clock(),
            mixed=held.pin.mixed or held.turns > 0,
        )
        moved = await self._store.move(key, pin, held.pin, used=False)
        tell(self._watch, moved, pin, MoveReason.OPERATOR)
        return moved.changed_model

    async def export(self, request: web.Request) -> web.StreamResponse:
        """Every live pin, as lines of JSON that /pins/import takes."""
        _query(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        async for piece in exported(self._store, self._clock()):
            await response.write(piece)
        await response.write_eof()
        return response

    async def take_up(self, request: web.Request) -> web.Response:
        """Takes up pins that /pins/export gave. ?overwrite replaces those that sessions have."""
        overwrite = _flag(_query(request, "overwrite"), "overwrite")
        work = Import(self._store, self._catalog(), self._watch, self._clock, overwrite=overwrite)
        outcome = await work.read(lines_of(request, MAX_IMPORT_BYTES, MAX_LINE_BYTES))
        return json_answer(
            {
                "imported": outcome.imported,
                "kept": outcome.kept,
                "refused": [{"line": line, "why": why} for line, why in outcome.told],
                "refused_total": outcome.refused,
            }
        )

    def _told(self, key: SessionKey, held: Held | None) -> web.Response:
        if held is None:
            raise PinNotFound("the session has no pin")
        return json_answer(pin_json(key, held))

    def _candidates(self, asked: _ByHand) -> tuple[str, ...]:
        """Raises RequestError."""
        if (asked.model is None) == (asked.models is None):
            raise RequestError("name either one model or several models: model, models")
        if asked.model is not None:
            return (self._model(asked.model, "model"),)
        found = (self._model(name, f"models[{at}]") for at, name in enumerate(asked.models or ()))
        return tuple(dict.fromkeys(found))

    def _model(self, name: str, param: str) -> str:
        """Raises RequestError."""
        model = self._catalog().resolve(name)
        if model is None:
            raise RequestError(f"{param}: no configured provider offers '{name[:100]}'", param=param)
        return model

    def _named(self, name: str) -> str:
        return self._catalog().resolve(name) or name


def _key(request: web.Request) -> SessionKey:
    """Raises InvalidSessionId, and RequestError for a tenant or a lane that is none."""
    query = _query(request, "tenant", "lane")
    session_id = checked(request.match_info["session"], "the session id")
    check_parts(query)
    return SessionKey(session_id, query.get("tenant", ""), query.get("lane", ""))


def _query(request: web.Request, *known: str) -> Mapping[str, str]:
    """Raises RequestError for a parameter that would be passed over: the answer would not be what was asked for."""
    for name in request.query:
        if name not in known:
            takes = f"this path takes {', '.join(known)}" if known else "this path takes none"
            raise RequestError(f"unknown parameter '{name[:100]}': {takes}", param=name)
    return request.query


def _flag(query: Mapping[str, str], name: str) -> bool:
    """`?overwrite`, `?overwrite=true`. Raises RequestError."""
    value = query.get(name, "false").lower()
    if value not in ("", "1", "true", "0", "false"):
        raise RequestError(f"{name} must be true or false", param=name)
    return value in ("", "1", "true")


def _limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_LISTED)) else 0
    if not 1 <= limit <= MOST_LISTED:
        raise RequestError(f"limit must be a whole number from 1 to {MOST_LISTED}", param="limit")
    return limit


async def _written(found: list[tuple[str, SessionKey, Held]]) -> list[msgspec.Raw]:
    """Each as JSON, a few at each turn of the event loop."""
    written = []
    for at, (_, key, held) in enumerate(found):
        if at and not at % WRITTEN_AT_ONCE:
            await asyncio.sleep(0)
        written.append(msgspec.Raw(msgspec.json.encode(pin_json(key, held))))
    return written


def _first(found: list[tuple[str, Any, Any]], count: int) -> list[tuple[str, Any, Any]]:
    return sorted(found, key=lambda row: row[0])[:count]


def _cursor(encoded: str) -> str:
    return base64.urlsafe_b64encode(encoded.encode()).decode().rstrip("=")


def _key_after(cursor: str) -> str:
    """Raises RequestError."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as exc:
        raise RequestError("after must be what an earlier page gave as next", param="after") from exc
