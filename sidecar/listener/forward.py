"""
Everything else below `/v1`: our list of models, and what is forwarded to a provider as it is, never classified.

A JSON body says which model is meant; any other body (multipart, audio, a file) is not looked at, but streamed to the
default provider of the interface that the path belongs to.
"""

from collections.abc import AsyncIterator
from functools import partial

import msgspec
from attrs import frozen

from sidecar.config.catalog import Catalog
from sidecar.config.models import Provider
from sidecar.errors import NotFound, RequestError
from sidecar.listener.answers import Answer, Exchange, Relayed, Way, refusal
from sidecar.listener.body import Bodies, streamed
from sidecar.listener.exhausted import exhausted
from sidecar.listener.incoming import Incoming, pairs
from sidecar.listener.models import ModelList
from sidecar.listener.outlet import Outlet
from sidecar.listener.relay import relay_untouched
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.order import Exhausted, Order
from sidecar.upstream.providers import row_of
from sidecar.wire.formats import Format
from sidecar.wire.splice import with_model

_WITHOUT_EFFECT = frozenset(
    f"/v1/{path}"
    for path in (
        "completions",
        "embeddings",
        "messages/count_tokens",
        "moderations",
        "rerank",
        "responses/input_tokens",
    )
)
"""What is only computed and leaves nothing behind."""
OPERATIONS = {"/v1/completions": "text_completion", "/v1/embeddings": "embeddings"}
"""What is asked of a model there, in OpenTelemetry's words."""
OPENAI = (Format.CHAT, Format.RESPONSES)
ANTHROPIC = (Format.MESSAGES,)
ANY = "-"
"""Stands for the model of a request that names none, where a wildcard is the only entry there is."""


class UpgradeRequired(RequestError):
    """The client wants to speak something other than HTTP."""

    status = 426
    code = "upgrade_required"


class _Named(msgspec.Struct):
    model: object = None


_named = msgspec.json.Decoder(_Named)


@frozen
class Forwarder:
    catalog: Catalog
    providers: tuple[Provider, ...]
    dispatcher: Dispatcher
    bodies: Bodies
    models: ModelList
    keepalive_s: float

    async def forward(self, request: Incoming, outlet: Outlet, way: Way) -> Exchange:
        """Raises RequestError for what the client did wrong; whatever a provider does wrong is an answer."""
        if request.headers.get("upgrade", "").lower() == "websocket":
            # Codex falls back to plain requests at once when told so; any other answer costs it twelve seconds.
            extra = (("upgrade", "HTTP/1.1"), ("connection", "upgrade, close"))
            return refusal(Format.CHAT, UpgradeRequired("There are no websockets here."), way, extra=extra, closes=True)
        if request.method in ("GET", "HEAD") and self.models.covers(request.path):
            return Answer(200, self.models.answer(request.path, request.headers), way)
        return await self._sent(request, outlet, way)

    async def _sent(self, request: Incoming, outlet: Outlet, way: Way) -> Exchange:
        order = await self._order(request, way)
        way.model, way.operation = order.candidates[0], OPERATIONS.get(request.path)
        form = next((form for form in Format if request.path.startswith(f"/v1/{form}")), Format.CHAT)
        outcome = await self.dispatcher.send(order)
        way.asked(outcome.trip, order.candidates[0], answered=not isinstance(outcome, Exhausted))
        if isinstance(outcome, Exhausted):
            return exhausted(request, outcome, form, way)
        try:
            code = await relay_untouched(
                outlet,
                outcome.reply,
                outcome.first,
                form=form,
                ours=way,
                keepalive_s=self.keepalive_s,
            )
            return Relayed(outcome.reply.status, way, code)
        finally:
            await outcome.close()

    async def _order(self, request: Incoming, way: Way) -> Order:
        body: bytes | AsyncIterator[bytes] | None = None
        read, length, model = None, None, None
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            read = await self.bodies.read(request, way.journal)
            body, model = read.content or None, self._named(read.content)
        elif not request.content.at_eof():  # a small one may be here already, to its end
            body, length = streamed(request, min(self.bodies.silence_s, self.bodies.timeout_s)), request.content_length
        candidate = model or self._default(ANTHROPIC if request.path.startswith("/v1/messages") else OPENAI)
        return Order(
            candidates=(candidate,),
            format=None,
            method=request.method,
            request_target=request.raw_path,
            headers=partial(pairs, request),
            head=request.head,
            body_for=lambda target, _: (
                with_model(body, target.upstream_model) if model is not None and isinstance(body, bytes) else body
            ),
            request_id=way.trace.request_id,
            traceparent=way.trace.outgoing,
            span=way.trace.attempt if way.trace.span_id else None,
            received=None if read is None else read.content,
            decoded=read is not None and read.was_encoded,
            replayable=isinstance(body, bytes | None) and _is_repeatable(request),
            content_length=length,
            attempts=way.journal.attempts,
        )

    def _named(self, body: bytes) -> str | None:
        """The model that a JSON body names, when we know it. What is wrong with the body is the provider's to say."""
        try:
            body.decode()  # the decoder checks only the strings it keeps
            name = _named.decode(body).model
        except (ValueError, RecursionError):
            return None
        return self.catalog.resolve(name) if isinstance(name, str) else None

    def _default(self, spoken: tuple[Format, ...]) -> str:
        """A model of the provider that stands for an interface: the default's, else the first that speaks it."""
        first = sorted(self.providers, key=lambda provider: not provider.default)
        for provider in first:
            row = row_of(provider)
            if row is not None and set(row.speaks) & set(spoken):
                return provider.model.replace("*", ANY)
        raise NotFound("No configured provider has this path.")


def _is_repeatable(request: Incoming) -> bool:
    """Whether it may be asked twice, not knowing what became of the first time: two batches would be two bills."""
    return request.method not in ("POST", "PATCH") or request.path in _WITHOUT_EFFECT
