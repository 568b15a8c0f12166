"""
`POST /v1/{chat/completions,messages,responses}`: decide, ask the decided model, relay its answer.

Where the provider speaks the client's format, only the model's name changes in the body, and the answer's bytes go back
as they come; a stream of chat completions is also asked what it cost, and the event that tells it is kept from a client
that did not ask. Where the provider speaks another format, both bodies are translated.
"""

import asyncio
import os
from collections.abc import Callable
from functools import cache
from time import monotonic

from aiohttp import web
from attrs import evolve, frozen

from sidecar.errors import RequestError, SidecarError
from sidecar.listener.answers import Abandoned, Answer, Exchange, Relayed, Way, refusal
from sidecar.listener.body import Body
from sidecar.listener.decisions import Asked, Decided, Decider
from sidecar.listener.exhausted import exhausted
from sidecar.listener.journal import Journal
from sidecar.listener.passage import Filtered, Passage, Translated, Untouched, untouched
from sidecar.listener.relay import relay
from sidecar.routing.decision import Failover
from sidecar.routing.router import Router
from sidecar.routing.watch import MoveReason
from sidecar.stores.responses import ResponseStore
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.headers import Headers, to_client
from sidecar.upstream.order import Answered, Exhausted, Order
from sidecar.upstream.reply import Reply
from sidecar.upstream.target import Target
from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.portable import portable
from sidecar.wire.splice import with_model
from sidecar.wire.state import (
    PreviousResponseNotFound,
    Remembered,
    chained,
    continued,
    remembered,
    remembered_from_events,
)
from sidecar.wire.taps import read_whole
from sidecar.wire.translate.failures import NotAnAnswer
from sidecar.wire.translate.neutral import Ids
from sidecar.wire.translate.streams.translator import StreamTranslator

OPERATION = "chat"
"""What all three formats ask for, in OpenTelemetry's word."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An answer that is translated whole is read whole."""


class NotPortable(RequestError):
    """The conversation cannot be taken to another provider."""

    code = "not_portable"


@frozen
class Proxy:
    """`clock`: Unix time, seconds."""

    decider: Decider
    router: Router
    dispatcher: Dispatcher
    keepalive_s: float
    clock: Callable[[], float]
    memory: ResponseStore | None = None
    """The responses that may be continued at providers that keep no state."""
    inject_usage: bool = True
    """Whether a stream's usage is asked for where the client did not."""

    async def complete(self, request: web.BaseRequest, form: Format, body: Body, way: Way) -> Exchange:
        """Raises RequestError for what the client did wrong; whatever providers do wrong is an answer."""
        asked = await self.decider.decide(form, request.headers, body.content, request.remote or "")
        way = way.with_decision(asked.decided, asked.request.model, OPERATION)
        try:
            asked = self._continued(asked)
            async with self.dispatcher.send(self._order(request, asked, body, way)) as outcome:
                way = await self._after(outcome, asked, way)
                return await self._told(request, outcome, asked, way)
        except asyncio.CancelledError as exc:
            raise Abandoned(way) from exc
        except RequestError as exc:  # from here on a refusal tells the decision too
            return refusal(form, exc, way)

    async def _told(self, request: web.BaseRequest, outcome: Answered | Exhausted, asked: Asked, way: Way) -> Exchange:
        form = asked.request.format
        if isinstance(outcome, Exhausted):
            return exhausted(request, outcome, form, way)
        if not outcome.target.translated:
            return await self._stream(request, outcome, asked, way)
        if not outcome.reply.is_events:
            return await self._whole(outcome, asked, way)
        if not asked.request.stream:
            return refusal(form, NotAnAnswer("The provider streams although a whole answer was asked for."), way)
        return await self._stream(request, outcome, asked, way)

    def _order(self, request: web.BaseRequest, asked: Asked, body: Body, way: Way) -> Order:
        stream = asked.request.stream
        return Order(
            candidates=asked.decided.decision.candidates,
            format=asked.request.format,
            method=request.method,
            request_target=request.raw_path,
            headers=self._headers(request, asked),
            body_for=self._bodies(asked),
            request_id=way.trace.request_id,
            span=way.trace.attempt,
            received=body.content,
            decoded=body.was_encoded,
            hold_s=self.keepalive_s if stream else None,
            attempts=way.journal.attempts,
        )

    def _headers(self, request: web.BaseRequest, asked: Asked) -> Headers:
        headers = tuple(request.headers.items())
        if not (self.inject_usage and asked.request.usage_unasked):
            return headers
        # What only we asked for can be taken out of plain bytes only.
        plain = tuple(header for header in headers if header[0].lower() != "accept-encoding")
        return (*plain, ("Accept-Encoding", "identity"))

    def _asks_usage(self, asked: Asked, target: Target) -> bool:
        """Whether the provider is asked for a stream's usage in the client's place, or where the client cannot ask."""
        if target.translated:
            return not target.refuses_usage
        return self.inject_usage and asked.request.usage_unasked and target.asks_usage

    def _continued(self, asked: Asked) -> Asked:
        """A request that continues a response remembered here, as one that says everything again."""
        if self.memory is None or asked.request.format is not Format.RESPONSES:
            return asked
        previous = chained(asked.body).previous
        earlier = self.memory.get(previous) if previous is not None else None
        return asked if earlier is None else evolve(asked, body=continued(asked.body, earlier))

    def _bodies(self, asked: Asked) -> Callable[[Target], bytes]:
        """Each target's body, made when it is asked for; two models of one interface are two bodies."""
        form, decision, body = asked.request.format, asked.decided.decision, asked.body
        mixed = decision.pin_now is not None and decision.pin_now.mixed

        @cache
        def made(interface: Format, model: str, at_home: bool, asks_usage: bool) -> bytes:  # noqa: FBT001 - private
            readable = body if at_home and not mixed else self._readable(form, body, at_home=at_home)
            if interface is form:
                return with_model(readable, model, asks_usage=asks_usage)
            return self._translated(form, interface, readable, model, asks_usage=asks_usage)

        def body_for(target: Target) -> bytes:
            at_home = self.dispatcher.at_home(target, decision.model)
            return made(target.interface, target.upstream_model, at_home, self._asks_usage(asked, target))

        return body_for

    def _translated(self, form: Format, interface: Format, body: bytes, model: str, *, asks_usage: bool) -> bytes:
        if self.memory is not None and form is Format.RESPONSES and chained(body).previous is not None:
            raise PreviousResponseNotFound("No response of this id is remembered here.", param="previous_response_id")
        told = translate.request(form, interface, body, model=model, asks_usage=asks_usage)
        for _ in told.dropped:
            self.dispatcher.watch.dropped(form, interface)
        return told.body

    def _remember(self, asked: Asked, left: Remembered | None) -> None:
        if self.memory is not None and left is not None and chained(asked.body).stores:
            self.memory.put(left.response_id, left.items)

    def _readable(self, form: Format, body: bytes, *, at_home: bool) -> bytes:
        """What a provider that did not make it can read. Raises NotPortable when that is not the whole question."""
        found = portable(form, body)
        if found.stuck and not at_home:
            raise NotPortable(f"The conversation holds what only its own provider has: {', '.join(found.stuck)}.")
        for kind in found.removed:
            self.dispatcher.watch.removed(kind)
        return found.body

    async def _after(self, outcome: Answered | Exhausted, asked: Asked, way: Way) -> Way:
        """What the attempts come to for the session's pin and for the answer's headers."""
        decided = asked.decided
        ranked = decided.decision.candidates
        moved = False
        if outcome.repin is not None and decided.session is not None and decided.decision.pin_now is not None:
            candidates = tuple(ranked[rank] for rank in outcome.repin)
            why = MoveReason.TERMINAL_ERROR if 0 in outcome.trip.hopeless else MoveReason.PROVIDER_EJECTED
            moved = await self.router.repin(decided.session, decided.decision, candidates, self.clock(), why)
        elif decided.session is not None and self._is_abroad(outcome, decided.decision.model):
            await self.router.mix(decided.session, decided.decision)
        answered = isinstance(outcome, Answered)
        way = way.with_attempts(outcome.trip, ranked[outcome.rank], answered=answered, moved=moved)
        by = way.model if answered else None
        # An ejected model is not even asked; and one that answers at its second try is no other.
        reason = way.failover or (MoveReason.PROVIDER_EJECTED.value if answered else None)
        if reason is not None and by != decided.decision.model:
            await self._note(decided, Failover(self.clock(), reason, by))
        return way

    async def _note(self, decided: Decided, failover: Failover) -> None:
        if decided.session is not None and decided.decision.pin_now is not None:
            await self.router.note_failover(decided.session, failover)

    def _is_abroad(self, outcome: Answered | Exhausted, model: str) -> bool:
        return isinstance(outcome, Answered) and outcome.rank > 0 and not self.dispatcher.at_home(outcome.target, model)

    async def _whole(self, answered: Answered, asked: Asked, way: Way) -> Exchange:
        """An answer that is no stream, translated."""
        target, form = answered.target, asked.request.format
        try:
            body = (answered.first or b"") + await _rest(answered.reply, way.journal)
            way.journal.account = read_whole(target.interface, body)
            told = translate.answer(target.interface, form, body, model=target.upstream_model, ids=self._ids())
            if asked.request.stream:  # whose client would take it for a stream that says nothing
                raise NotAnAnswer("The provider does not stream although a stream was asked for.")
        except SidecarError as exc:
            return refusal(form, exc, way)
        if self.memory is not None and form is Format.RESPONSES:
            self._remember(asked, remembered(asked.body, told))
        ours = [("content-type", "application/json"), *way.headers()]
        headers = to_client(tuple(answered.reply.headers.items()), untouched=False, ours=ours)
        return Answer(answered.reply.status, told, way, headers=headers)

    async def _stream(self, request: web.BaseRequest, answered: Answered, asked: Asked, way: Way) -> Exchange:
        passage = self._passage(answered, asked)
        theirs, exact = answered.reply.headers, isinstance(passage, Untouched)
        headers = to_client(tuple(theirs.items()), untouched=exact, ours=way.headers())
        if not exact:
            translated = isinstance(passage, Translated)
            headers["content-type"] = "text/event-stream; charset=utf-8" if translated else theirs["content-type"]
        response, code = await relay(
            request,
            answered.reply,
            answered.first,
            headers=headers,
            passage=passage,
            keepalive_s=self.keepalive_s,
            journal=way.journal,
        )
        return Relayed(response, way, code)

    def _passage(self, answered: Answered, asked: Asked) -> Passage:
        target = answered.target
        form = asked.request.format
        if not target.translated:
            # One that is compressed although that was not asked for goes as it is, with the event that nobody expects:
            # better than to unpack what may be a bomb.
            plain = answered.reply.is_events and not answered.reply.is_encoded
            return Filtered(form) if plain and self._asks_usage(asked, target) else untouched(form, answered.reply)
        translator = StreamTranslator(
            target.interface,
            form,
            model=target.upstream_model,
            ids=self._ids(),
            include_usage=asked.request.include_usage,
        )
        if self.memory is None or form is not Format.RESPONSES:
            return Translated(form, translator)
        return Translated(
            form, translator, told=lambda out: self._remember(asked, remembered_from_events(asked.body, out))
        )

    def _ids(self) -> Ids:
        """Never a trace's or a request's id: clients send those more than once."""
        return Ids(os.urandom(12).hex(), int(self.clock()))


async def _rest(reply: Reply, journal: Journal) -> bytes:
    """Of a body that is read whole."""
    began = monotonic()
    try:
        return await reply.read(MAX_ANSWER_BYTES)
    finally:
        journal.provider_s += monotonic() - began
