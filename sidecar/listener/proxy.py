"""
`POST /v1/{chat/completions,messages,responses}`: decide, ask the decided model, relay its answer.

Where the provider speaks the client's format, only the model's name changes in the body, and the answer's bytes go back
as they come; a stream of chat completions is also asked what it cost, and the event that tells it is kept from a client
that did not ask. Where the provider speaks another format, both bodies are translated.
"""

import os
from collections.abc import Callable
from functools import partial
from time import monotonic

from attrs import frozen
from msgspec.structs import replace

from sidecar.errors import RequestError, SidecarError
from sidecar.listener.answers import Answer, Exchange, Relayed, Way, refusal
from sidecar.listener.body import Body
from sidecar.listener.decisions import Asked, Decided, Decider
from sidecar.listener.exhausted import exhausted
from sidecar.listener.incoming import Incoming, pairs
from sidecar.listener.journal import Journal
from sidecar.listener.outlet import Outlet
from sidecar.listener.passage import Filtered, Passage, Translated
from sidecar.listener.relay import relay, relay_untouched, relay_whole
from sidecar.routing.decision import Failover
from sidecar.routing.router import Router
from sidecar.routing.watch import MoveReason
from sidecar.stores.responses import ResponseStore
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.failover import Rank, Trip
from sidecar.upstream.order import Answered, Exhausted, Order
from sidecar.upstream.relaying import ANOTHER, FILTERED, to_client
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
_EVENTS = ("content-type", "text/event-stream; charset=utf-8")
_Bodies = dict[tuple[Format, str, bool, bool], bytes]
"""By interface, model, whether that is at home with the decided one's provider, and whether usage is asked for."""

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

    async def complete(self, request: Incoming, outlet: Outlet, form: Format, body: Body, way: Way) -> Exchange:
        """Raises RequestError for what the client did wrong; whatever providers do wrong is an answer."""
        asked = await self.decider.decide(form, request, body.content)
        way.decided, way.requested, way.operation = asked.decided, asked.request.model, OPERATION
        try:
            if self.memory is not None and form is Format.RESPONSES:
                asked = _continued(asked, self.memory)
            outcome = await self.dispatcher.send(self._order(request, asked, body, way))
            if isinstance(outcome, Exhausted):
                await self._settle(outcome, outcome.trip, asked, way)
                return exhausted(request, outcome, form, way)
            try:
                if outcome.trip is None:  # the decided model was asked first and answered, as nearly always
                    way.asked(None, asked.decided.decision.candidates[0], answered=True)
                else:
                    await self._settle(outcome, outcome.trip, asked, way)
                if outcome.target.translated:
                    return await self._told(outlet, outcome, asked, way)
                if outcome.reply.is_whole and not outcome.reply.is_events:
                    relay_whole(outlet, outcome.reply, outcome.first or b"", form=form, ours=way)
                    return Relayed(outcome.reply.status, way)
                return await self._stream(outlet, outcome, asked, way)
            finally:
                await outcome.close()
        except RequestError as exc:  # from here on a refusal tells the decision too
            return refusal(form, exc, way)

    async def _told(self, outlet: Outlet, answered: Answered, asked: Asked, way: Way) -> Exchange:
        """An answer that is translated: whole, or as it comes."""
        if not answered.reply.is_events:
            return await self._whole(answered, asked, way)
        if not asked.request.stream:
            error = NotAnAnswer("The provider streams although a whole answer was asked for.")
            return refusal(asked.request.format, error, way)
        return await self._stream(outlet, answered, asked, way)

    def _order(self, request: Incoming, asked: Asked, body: Body, way: Way) -> Order:
        stream, trace = asked.request.stream, way.trace
        return Order(
            candidates=asked.decided.decision.candidates,
            format=asked.request.format,
            method=request.method,
            request_target=request.raw_path,
            headers=partial(pairs, request),
            head=request.head,
            body_for=partial(self._body_for, asked, {}),
            request_id=trace.request_id,
            traceparent=trace.outgoing,
            span=trace.attempt if trace.span_id else None,
            # What only we asked for can be taken out of plain bytes only.
            plain=stream and self.inject_usage and asked.request.usage_unasked,
            received=body.content,
            decoded=body.was_encoded,
            hold_s=self.keepalive_s if stream else None,
            attempts=way.journal.attempts,
        )

    def _asks_usage(self, asked: Asked, target: Target) -> bool:
        """Whether the provider is asked for a stream's usage in the client's place, or where the client cannot ask."""
        if target.translated:
            return not target.refuses_usage
        return self.inject_usage and target.asks_usage and asked.request.usage_unasked

    def _body_for(self, asked: Asked, made: _Bodies, target: Target, rank: Rank) -> bytes:
        """Each target's body, made when it is asked for; two models of one interface are two bodies."""
        request, decision = asked.request, asked.decided.decision
        at_home = rank == 0 or self.dispatcher.at_home(target, decision.candidates[0])
        asks_usage = (request.stream or target.translated) and self._asks_usage(asked, target)
        key = (target.interface, target.upstream_model, at_home, asks_usage)
        if key in made:
            return made[key]
        body = asked.body
        if not at_home or decision.mixed:
            body = self._readable(request.format, body, at_home=at_home)
        if target.translated:
            body = self._translated(request.format, target, body, asks_usage=asks_usage)
        else:
            # What is known of the body that came is true of what was taken out of it and put into it since.
            has_options = not asks_usage or request.has_options
            body = with_model(
                body,
                target.upstream_model,
                asks_usage=asks_usage,
                named_once=request.named_once,
                has_options=has_options,
            )
        made[key] = body
        return body

    def _translated(self, form: Format, target: Target, body: bytes, *, asks_usage: bool) -> bytes:
        if self.memory is not None and form is Format.RESPONSES and chained(body).previous is not None:
            raise PreviousResponseNotFound("No response of this id is remembered here.", param="previous_response_id")
        told = translate.request(form, target.interface, body, model=target.upstream_model, asks_usage=asks_usage)
        for _ in told.dropped:
            self.dispatcher.watch.dropped(form, target.interface)
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

    async def _settle(self, outcome: Answered | Exhausted, trip: Trip, asked: Asked, way: Way) -> None:
        """What the attempts come to for the session's pin and for the answer's headers."""
        decided = asked.decided
        ranked = decided.decision.candidates
        moved = False
        if outcome.repin is not None and decided.session is not None and decided.decision.pin_now is not None:
            candidates = tuple(ranked[rank] for rank in outcome.repin)
            why = MoveReason.TERMINAL_ERROR if 0 in trip.hopeless else MoveReason.PROVIDER_EJECTED
            moved = await self.router.repin(decided.session, decided.decision, candidates, self.clock(), why)
        elif decided.session is not None and self._is_abroad(outcome, decided.decision.model):
            await self.router.mix(decided.session, decided.decision)
        answered = isinstance(outcome, Answered)
        way.asked(trip, ranked[outcome.rank], answered=answered, moved=moved)
        by = way.model if answered else None
        # An ejected model is not even asked; and one that answers at its second try is no other.
        reason = way.failover or (MoveReason.PROVIDER_EJECTED.value if answered else None)
        if reason is not None and by != decided.decision.model:
            await self._note(decided, Failover(self.clock(), reason, by))

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
        headers = to_client(answered.reply.pairs, stays=ANOTHER, ours=ours)
        return Answer(answered.reply.status, told, way, headers=headers)

    async def _stream(self, outlet: Outlet, answered: Answered, asked: Asked, way: Way) -> Exchange:
        reply, first, keepalive_s = answered.reply, answered.first, self.keepalive_s
        passage = self._passage(answered, asked)
        if passage is None:
            code = await relay_untouched(
                outlet, reply, first, form=asked.request.format, ours=way, keepalive_s=keepalive_s
            )
            return Relayed(reply.status, way, code)
        translated = isinstance(passage, Translated)
        stays, more = (ANOTHER, _EVENTS) if translated else (FILTERED, None)
        code = await relay(
            outlet, reply, first, ours=way, stays=stays, more=more, passage=passage, keepalive_s=keepalive_s
        )
        return Relayed(reply.status, way, code)

    def _passage(self, answered: Answered, asked: Asked) -> Passage | None:
        """None for an answer that goes as it is."""
        target, reply, form = answered.target, answered.reply, asked.request.format
        if not target.translated:
            asks_usage = asked.request.stream and self._asks_usage(asked, target)
            # One that is compressed although that was not asked for goes as it is, with the event that nobody expects:
            # better than to unpack what may be a bomb.
            return Filtered(form) if asks_usage and reply.is_events and not reply.is_encoded else None
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


def _continued(asked: Asked, memory: ResponseStore) -> Asked:
    """A request that continues a response remembered here, as one that says everything again."""
    previous = chained(asked.body).previous
    earlier = memory.get(previous) if previous is not None else None
    return asked if earlier is None else replace(asked, body=continued(asked.body, earlier))


async def _rest(reply: Reply, journal: Journal) -> bytes:
    """Of a body that is read whole."""
    began = monotonic()
    try:
        return await reply.read(MAX_ANSWER_BYTES)
    finally:
        journal.provider_s += monotonic() - began
