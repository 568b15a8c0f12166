"""
A receiver of OpenTelemetry traces over HTTP, written with the official protobufs: what it was sent is kept, and how it
behaves is written by the test.
"""

import asyncio
import gzip
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import Factory, define, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KINDS = {Span.SPAN_KIND_SERVER: "server", Span.SPAN_KIND_INTERNAL: "internal", Span.SPAN_KIND_CLIENT: "client"}


@frozen
class Seen:
    """A span as it came."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict
    failed: bool

    @classmethod
    def of(cls, span):
        return cls(
            span.name, KINDS[span.kind], span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
            span.start_time_unix_nano, span.end_time_unix_nano, attributes(span),
            span.status.code == Status.STATUS_CODE_ERROR,
        )  # fmt: skip


def attributes(thing):
    return {each.key: _value(each.value) for each in thing.attributes}


def _value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)


@define(eq=False)
class Receiver:
    url: str = ""
    behave: object = None
    """An aiohttp handler in place of taking the spans."""
    bodies: list[bytes] = Factory(list)
    """As they were before they were compressed."""
    headers: list = Factory(list)
    asked: asyncio.Event = Factory(asyncio.Event)
    """Set by every batch that arrives, taken or not."""

    @property
    def resources(self):
        return [each for body in self.bodies for each in ExportTraceServiceRequest.FromString(body).resource_spans]

    @property
    def spans(self):
        return [Seen.of(span) for each in self.resources for scope in each.scope_spans for span in scope.spans]

    def one(self, kind):
        (found,) = self.all(kind)
        return found

    def all(self, kind):
        return sorted((span for span in self.spans if span.kind == kind), key=lambda span: span.start)

    async def _traces(self, request):
        self.asked.set()
        if self.behave is not None:
            return await self.behave(request)
        body = await request.read()
        self.headers.append(request.headers)
        self.bodies.append(gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


@asynccontextmanager
async def receiving():
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver._traces)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
        yield receiver
    finally:
        await runner.cleanup()
