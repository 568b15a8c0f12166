"""
What is told of a request as OpenTelemetry spans, once it is over.

    SERVER    POST /v1/chat/completions     the request
    INTERNAL    classify                    asking the classifier, if it was asked
    CLIENT      chat gpt-4o                 each attempt at a provider

Attributes have the names of OpenTelemetry's semantic conventions, and names of our own (`sidecar.…`) for what those do
not know. HTTP: https://opentelemetry.io/docs/specs/semconv/http/http-spans/. Models:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/, version 1.41. No prompt, no answer and no key is in a
record, so none is in a span.
"""

import os
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from attrs import frozen

from sidecar.routing.verdict import Verdict
from sidecar.telemetry.record import ABANDONED, ANSWERED, Attempt, Record
from sidecar.wire.translate.neutral import Usage

Attribute = str | bool | int | float | tuple[str, ...]

MAX_TEXT_CHARS = 256
"""So much of what a client or a provider wrote goes into an attribute."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
"""The methods that the conventions know; any other is `_OTHER`."""

PROVIDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "azure_openai": "azure.ai.openai",
        "chatgpt": "openai",
        "gemini": "gcp.gemini",
        "mistral": "mistral_ai",
        "xai": "x_ai",
    }
)
"""What a model's id begins with -> the well-known value of `gen_ai.provider.name`, where the two differ."""


class Kind(Enum):
    SERVER = "server"
    INTERNAL = "internal"
    CLIENT = "client"


@frozen(eq=False)
class Span:
    """One span, ready to be sent. Times are Unix times in nanoseconds."""

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str | None
    times: tuple[int, int]
    """Start and end."""
    attributes: dict[str, Attribute]
    failed: bool = False
    """Whether its status is an error."""


def spans_of(record: Record, *, raw_session_ids: bool = False) -> tuple[Span, ...]:
    """
    The spans of a sampled request, the server's first. `raw_session_ids`: whether `gen_ai.conversation.id` is the
    session's own id, and not its hash.
    """
    told = _Telling(record, _conversation(record, raw=raw_session_ids))
    return (told.server(), *told.classified(), *told.attempts())


def provider_name(model: str) -> str:
    """`gen_ai.provider.name` of a model of the configuration, `provider/name`."""
    vendor = model.partition("/")[0]
    return PROVIDER_NAMES.get(vendor, vendor)


@frozen
class _Telling:
    record: Record
    conversation: str

    def server(self) -> Span:
        record, trace = self.record, self.record.trace
        attributes = _http(record) | _routing(record)
        if self.conversation:
            attributes["gen_ai.conversation.id"] = self.conversation
        if failed := record.status >= 500 or _broken(record) is not None:  # noqa: PLR2004 - a status class
            attributes["error.type"] = record.code or str(record.status)
        route = attributes.get("http.route")
        name = f"{_verb(record)} {route}" if route else _verb(record)
        times = self._times(0.0, record.seconds)
        return Span(name, Kind.SERVER, trace.trace_id, trace.span_id, trace.parent_id, times, attributes, failed)

    def classified(self) -> Iterator[Span]:
        decision = self.record.decision
        if decision is None or decision.verdict is None:
            return
        verdict = decision.verdict
        # Providers are asked, or the decision is told, as soon as there is a verdict.
        ended_s = self.record.attempts[0].began_s if self.record.attempts else self.record.seconds
        times = self._times(ended_s - verdict.seconds, ended_s)
        yield self._child("classify", Kind.INTERNAL, _new_id(), times, _verdict(verdict))

    def attempts(self) -> Iterator[Span]:
        record = self.record
        for attempt in record.attempts:
            answers = attempt is record.attempts[-1] and attempt.outcome == ANSWERED
            attributes = self._attempt(attempt) | (_answer(record, attempt) if answers else {})
            error = _broken(record) if answers else _refused(attempt)
            if error is not None:
                attributes["error.type"] = error
            name = f"{record.operation} {_model(attempt)}" if record.operation else _verb(record)
            times = self._times(attempt.began_s, attempt.began_s + attempt.seconds)
            yield self._child(name, Kind.CLIENT, attempt.span_id or _new_id(), times, attributes)

    def _attempt(self, attempt: Attempt) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            "sidecar.provider": attempt.provider,
            "sidecar.model": _text(attempt.model),
            "sidecar.outcome": attempt.outcome,
        }
        if attempt.status is not None:
            attributes["http.response.status_code"] = attempt.status
        if self.record.operation is not None:
            attributes["gen_ai.operation.name"] = self.record.operation
            attributes["gen_ai.provider.name"] = _text(provider_name(attempt.model))
            attributes["gen_ai.request.model"] = _model(attempt)
        if self.conversation:
            attributes["gen_ai.conversation.id"] = self.conversation
        return attributes

    def _child(
        self, name: str, kind: Kind, span_id: str, times: tuple[int, int], attributes: dict[str, Attribute]
    ) -> Span:
        trace = self.record.trace
        failed = "error.type" in attributes
        return Span(name, kind, trace.trace_id, span_id, trace.span_id, times, attributes, failed)

    def _times(self, began_s: float, ended_s: float) -> tuple[int, int]:
        """Never outside of the request, whatever the clocks of its parts say."""
        whole_s = self.record.seconds
        origin = round(self.record.began_at_s * 1e6) * 1000  # a float of this size knows no nanoseconds
        start_s = min(max(began_s, 0.0), whole_s)
        return origin + round(start_s * 1e9), origin + round(min(max(ended_s, start_s), whole_s) * 1e9)


def _http(record: Record) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "http.request.method": record.method if record.method in METHODS else "_OTHER",
        "http.response.status_code": record.status,
        "network.protocol.version": record.protocol.removeprefix("HTTP/"),
        "url.scheme": "http",
    }
    if record.endpoint.startswith("/"):
        attributes["http.route"] = record.endpoint
        if "*" not in record.endpoint:  # what stands for the star may be the id of somebody's file
            attributes["url.path"] = record.endpoint
    if record.client:
        attributes["client.address"] = record.client
    if record.user_agent:
        attributes["user_agent.original"] = _text(record.user_agent)
    if record.caller is not None:
        attributes["sidecar.caller"] = _text(record.caller.name)
    return attributes


def _routing(record: Record) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "sidecar.request_id": record.trace.request_id,
        "sidecar.added_seconds": record.added_s,
    }
    if (decision := record.decision) is not None:
        attributes["sidecar.model"] = _text(record.model or decision.model)
        attributes["sidecar.reason"] = decision.reason.value
        attributes["sidecar.pin"] = decision.lookup.value
        attributes["sidecar.pinned"] = decision.pinned
        if decision.route is not None:
            attributes["sidecar.route"] = _text(decision.route)
    if record.session is not None:
        attributes["sidecar.session.source"] = record.session.source
    if record.failover is not None:
        attributes["sidecar.failover"] = record.failover
        attributes["sidecar.pin.moved"] = record.moved
    if record.code is not None:
        attributes["sidecar.code"] = record.code
    return attributes


def _verdict(verdict: Verdict) -> dict[str, Attribute]:
    if verdict.failure is not None:
        return {"sidecar.classifier.outcome": verdict.failure.value, "error.type": verdict.failure.value}
    if verdict.route is None:
        return {"sidecar.classifier.outcome": "no_match"}
    return {
        "sidecar.classifier.outcome": "match",
        "sidecar.classifier.route": _text(verdict.route),
        "sidecar.classifier.confidence": verdict.confidence,
    }


def _answer(record: Record, attempt: Attempt) -> dict[str, Attribute]:
    """What is known of the answer that the client got."""
    if record.operation is None:
        return {}
    attributes: dict[str, Attribute] = {"gen_ai.request.stream": record.streamed}
    if record.response_model:
        attributes["gen_ai.response.model"] = _text(record.response_model)
    if record.finish:
        attributes["gen_ai.response.finish_reasons"] = (_text(record.finish),)
    if record.streamed and attempt.first_byte_s is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = attempt.first_byte_s
    return attributes | (_usage(record.usage) if record.usage is not None else {})


def _usage(usage: Usage) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
    }
    if usage.cache_read:
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read
    if usage.cache_write:
        attributes["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write
    if usage.reasoning:
        attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning
    return attributes


def _broken(record: Record) -> str | None:
    """What providers did wrong; of an answer that had begun, why it is not whole, whatever its status says."""
    return record.code if record.code is not None and record.code.startswith("upstream_") else None


def _refused(attempt: Attempt) -> str | None:
    return None if attempt.outcome in (ANSWERED, ABANDONED) else attempt.outcome


def _verb(record: Record) -> str:
    return record.method if record.method in METHODS else "HTTP"


def _new_id() -> str:
    return os.urandom(8).hex()


def _conversation(record: Record, *, raw: bool) -> str:
    return record.session.session_id if raw and record.session is not None else record.session_hash


def _model(attempt: Attempt) -> str:
    """As the provider knows it."""
    vendor, _, name = attempt.model.partition("/")
    return _text(name or vendor)


def _text(text: str) -> str:
    """Short, and always UTF-8: one that is not would cost a whole batch of spans."""
    text = text[:MAX_TEXT_CHARS]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
