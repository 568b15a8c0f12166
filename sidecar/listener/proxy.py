"""
`POST /v1/{chat/completions,messages,responses}`: decide, ask the decided model, relay its answer.

Where the provider speaks the client's format, only the model's name changes in the body, and the answer's bytes go back
as they come. Where it does not, both are translated.
"""

from collections.abc import Callable, Iterable
from functools import cache

from aiohttp import web
from attrs import frozen

from sidecar.errors import SidecarError
from sidecar.listener.answers import Answer, Exchange, Relayed, Way, refusal
from sidecar.listener.body import Body
from sidecar.listener.decisions import Asked, Decider
from sidecar.listener.passage import Passage, Translated, Untouched
from sidecar.listener.relay import relay
from sidecar.routing.router import Router
from sidecar.upstream.dispatch import Answered, Dispatcher, Exhausted, Order
from sidecar.upstream.headers import to_client
from sidecar.upstream.refusal import decoded
from sidecar.upstream.target import Target
from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.splice import with_model
from sidecar.wire.translate.neutral import Ids
from sidecar.wire.translate.streams.translator import StreamTranslator

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer that is translated whole is read whole."""


@frozen
class Proxy:
    """`clock`: Unix time, seconds."""

    decider: Decider
    router: Router
    dispatcher: Dispatcher
    keepalive_s: float
    clock: Callable[[], float]

    async def complete(self, request: web.BaseRequest, form: Format, body: Body, way: Way) -> Exchange:
        """Raises RequestError for what the client did wrong; whatever providers do wrong is an answer."""
        asked = await self.decider.decide(form, request.headers, body.content)
        way = way.with_decision(asked.decided)
        async with self.dispatcher.send(self._order(request, asked, body, way)) as outcome:
            way = await self._after(outcome, asked, way)
            if isinstance(outcome, Exhausted):
                return _exhausted(outcome, form, way)
            if outcome.target.translated and not _is_events(outcome):
                return await self._whole(outcome, form, way)
            return await self._stream(request, outcome, asked, way)

    def _order(self, request: web.BaseRequest, asked: Asked, body: Body, way: Way) -> Order:
        stream = asked.request.stream
        return Order(
            candidates=asked.decided.decision.candidates,
            format=asked.request.format,
            method=request.method,
            request_target=request.raw_path,
            headers=tuple(request.headers.items()),
            body_for=_bodies(asked.request.format, body.content),
            request_id=way.trace.request_id,
            traceparent=way.trace.outgoing,
            rewritten=body.was_encoded,
            hold_s=self.keepalive_s if stream else None,
        )

    async def _after(self, outcome: Answered | Exhausted, asked: Asked, way: Way) -> Way:
        """What the attempts come to for the session's pin and for the answer's headers."""
        decided = asked.decided
        ranked = decided.decision.candidates
        moved = False
        if outcome.repin is not None and decided.session is not None and decided.decision.pin_now is not None:
            candidates = tuple(ranked[rank] for rank in outcome.repin)
            await self.router.repin(decided.session, decided.decision, candidates, self.clock())
            moved = True
        answered = isinstance(outcome, Answered)
        return way.with_attempts(outcome.trip, ranked[outcome.rank], answered=answered, moved=moved)

    async def _whole(self, answered: Answered, form: Format, way: Way) -> Exchange:
        """An answer that is no stream, translated."""
        target = answered.target
        try:
            body = (answered.first or b"") + await answered.reply.read(MAX_ANSWER_BYTES)
            told = translate.answer(target.interface, form, body, model=target.upstream_model, ids=self._ids(way))
        except SidecarError as exc:
            return refusal(form, exc, way)
        ours = [("content-type", "application/json"), *way.headers()]
        headers = to_client(tuple(answered.reply.headers.items()), untouched=False, ours=ours)
        return Answer(answered.reply.status, told, way, headers=headers)

    async def _stream(self, request: web.BaseRequest, answered: Answered, asked: Asked, way: Way) -> Exchange:
        passage = self._passage(answered, asked, way)
        headers = to_client(
            tuple(answered.reply.headers.items()), untouched=isinstance(passage, Untouched), ours=way.headers()
        )
        if isinstance(passage, Translated):
            headers["content-type"] = "text/event-stream; charset=utf-8"
        response, code = await relay(
            request,
            answered.reply,
            answered.first,
            headers=headers,
            passage=passage,
            keepalive_s=self.keepalive_s,
        )
        return Relayed(response, way, code)

    def _passage(self, answered: Answered, asked: Asked, way: Way) -> Passage:
        target = answered.target
        form = asked.request.format
        if not target.translated:
            return Untouched(form, events=_is_events(answered) and not _is_encoded(answered))
        translator = StreamTranslator(
            target.interface,
            form,
            model=target.upstream_model,
            ids=self._ids(way),
            include_usage=asked.request.include_usage,
        )
        return Translated(form, translator)

    def _ids(self, way: Way) -> Ids:
        return Ids(way.trace.trace_id, int(self.clock()))


def _bodies(form: Format, body: bytes) -> Callable[[Target], bytes]:
    """Each target's body, made when it is asked for; two models of one interface are two bodies."""

    @cache
    def made(interface: Format, model: str) -> bytes:
        if interface is form:
            return with_model(body, model)
        return translate.request(form, interface, body, model=model).body

    return lambda target: made(target.interface, target.upstream_model)


def _exhausted(outcome: Exhausted, form: Format, way: Way) -> Exchange:
    """The provider's own answer where one gave any, as it is or in the client's words; else our own."""
    refused = outcome.refusal
    if refused.headers is None or refused.target is None:
        return refusal(form, refused.error, way)
    headers: Iterable[tuple[str, str]] = tuple(refused.headers.items())
    body = refused.body
    if refused.target.translated:
        plain = decoded(body, refused.headers.get("content-encoding", ""))
        body = translate.error(refused.target.interface, form, refused.status, plain or b"")
    crossing = to_client(tuple(headers), untouched=not refused.target.translated, ours=way.headers())
    crossing.popall("content-length", None)
    if refused.target.translated:
        crossing["content-type"] = "application/json"
    return Answer(refused.status, body, way, headers=crossing, code=refused.failure.cause.value)


def _is_events(answered: Answered) -> bool:
    return answered.reply.headers.get("content-type", "").lower().startswith("text/event-stream")


def _is_encoded(answered: Answered) -> bool:
    return answered.reply.headers.get("content-encoding", "identity").lower() != "identity"
