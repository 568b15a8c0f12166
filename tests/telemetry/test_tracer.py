"""Spans on their way: to a real receiver, and to receivers that are down, hang, refuse or send elsewhere."""

import asyncio
import logging
import subprocess
import sys
import time

import pytest
from aiohttp import web
from msgspec.structs import replace
from otlp import attributes, receiving
from ports import free_port

from sidecar import __version__
from sidecar.config.models import Secret, Tracing
from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.routing.verdict import Verdict
from sidecar.telemetry.otlp import QUEUE_SPANS
from sidecar.telemetry.record import Attempt, Record
from sidecar.telemetry.trace import Trace, Traces
from sidecar.telemetry.tracer import STOP_S, open_tracer

RECORD = Record(
    endpoint="/v1/chat/completions", method="POST", status=200, trace=Trace("a" * 32, "req-1", None, "b" * 16, "c" * 16),
    began_at_s=1_700_000_000.25, seconds=0.5, operation="chat", model="openai/gpt-4o", finish="stop",
    decision=Decision(("openai/gpt-4o",), "code", Reason.ROUTED, Lookup.MISS, verdict=Verdict("code", 0.5, seconds=0.125)),
    session=SessionKey("raw-session"), session_hash="5e55104",
    attempts=(Attempt("openai", "openai/gpt-4o", "answered", 0.25, 0.25, 0.125, 200, "d" * 16),),
)  # fmt: skip
SPANS = 3
"""Of this record."""


@pytest.fixture
async def receiver():
    async with receiving() as double:
        yield double


def to(receiver, **more):
    return Tracing(100, getattr(receiver, "url", receiver), **more)


async def flushed(tracer):
    """What is sent every second is sent now."""
    await asyncio.to_thread(tracer.sender._processor.force_flush)


async def test_a_record_arrives_as_its_spans(receiver):
    async with open_tracer(to(receiver)) as tracer:
        tracer.told(RECORD)
    server, classify, attempt = (receiver.one(kind) for kind in ("server", "internal", "client"))
    assert (server.name, classify.name, attempt.name) == ("POST /v1/chat/completions", "classify", "chat gpt-4o")
    assert (server.span_id, server.parent_id, attempt.span_id) == ("b" * 16, "c" * 16, "d" * 16)
    assert {classify.parent_id, attempt.parent_id} == {"b" * 16}
    assert {span.trace_id for span in receiver.spans} == {"a" * 32}
    assert (server.start, server.end) == (1_700_000_000_250_000_000, 1_700_000_000_750_000_000)
    assert server.start <= classify.start <= classify.end <= attempt.start <= attempt.end <= server.end
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert attempt.attributes["http.response.status_code"] == 200


async def test_even_a_talkative_log_has_nothing_of_the_receivers_path_which_may_hold_a_key(receiver, caplog):
    caplog.set_level(logging.DEBUG, "urllib3")
    async with open_tracer(to(f"{receiver.url}/key-canary")) as tracer:
        tracer.told(RECORD)
    assert "key-canary" not in caplog.text


async def test_an_error_is_the_status_of_its_span(receiver):
    async with open_tracer(to(receiver)) as tracer:
        tracer.told(replace(RECORD, status=502, code="upstream_unreachable"))
    assert (receiver.one("server").failed, receiver.one("internal").failed) == (True, False)


async def test_the_resource_names_the_service_its_version_and_this_very_process(receiver):
    for _ in range(2):
        async with open_tracer(to(receiver, service_name="edge")) as tracer:
            tracer.told(RECORD)
    first, second = (attributes(each.resource) for each in receiver.resources)
    assert (first["service.name"], first["service.version"]) == ("edge", __version__)
    assert first["service.instance.id"] != second["service.instance.id"]


async def test_batches_are_compressed_and_carry_the_configured_headers(receiver):
    headers = {"Authorization": Secret("Bearer k", "KEY"), "x-unset": Secret(None, "UNSET")}
    async with open_tracer(to(receiver, headers=headers)) as tracer:
        tracer.told(RECORD)
    (sent,) = receiver.headers
    assert (sent["content-encoding"], sent["content-type"]) == ("gzip", "application/x-protobuf")
    assert sent["authorization"] == "Bearer k"
    assert "x-unset" not in sent


async def test_a_request_that_is_not_sampled_makes_no_span(receiver):
    async with open_tracer(to(receiver)) as tracer:
        tracer.told(replace(RECORD, trace=Traces(0, exporting=True).of({})))
    assert receiver.bodies == []


async def test_the_raw_session_leaves_only_when_that_is_wanted(receiver):
    for raw in (False, True):
        receiver.bodies.clear()
        async with open_tracer(to(receiver, raw_session_ids=raw)) as tracer:
            tracer.told(RECORD)
        assert (b"raw-session" in b"".join(receiver.bodies)) is raw


async def test_spans_are_sent_without_waiting_for_the_end(receiver):
    async with open_tracer(to(receiver)) as tracer:
        tracer.told(RECORD)
        await asyncio.wait_for(receiver.asked.wait(), 10)


async def test_without_an_endpoint_there_is_no_tracer():
    async with open_tracer(Tracing(100)) as tracer:
        assert tracer is None


# The environment


async def test_neither_a_proxy_nor_another_endpoint_in_the_environment_leads_spans_away(receiver, monkeypatch):
    async with receiving() as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.url.removesuffix("/v1/traces"))
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            monkeypatch.setenv(name, other.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=theirs")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
        headers = {"authorization": Secret("ours")}
        async with open_tracer(to(receiver, headers=headers)) as tracer:
            tracer.told(RECORD)
    assert (len(receiver.spans), other.asked.is_set()) == (SPANS, False)
    assert receiver.headers[0].getall("authorization") == ["ours"]
    assert attributes(receiver.resources[0].resource)["service.name"] == "llm-sidecar"


async def test_a_redirect_is_not_followed_and_its_spans_are_counted_as_lost(receiver, caplog):
    async def away(_request):
        raise web.HTTPTemporaryRedirect(other.url)

    async with receiving() as other:
        receiver.behave = away
        async with open_tracer(to(receiver)) as tracer:
            tracer.told(RECORD)
    assert (tracer.dropped(), other.asked.is_set()) == (SPANS, False)
    assert "it answers 307" in caplog.text


def test_without_the_extra_traces_go_on_and_an_endpoint_is_refused_in_one_sentence():
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "import asyncio\n"
        "from sidecar.config.models import Tracing\n"
        "from sidecar.telemetry.trace import Traces\n"
        "from sidecar.telemetry.tracer import open_tracer, ExtraMissing\n"
        "assert Traces().of({}).attempt()[1].startswith('00-')\n"
        "async def run():\n"
        "    async with open_tracer(Tracing(100, 'http://localhost:4318/v1/traces')): pass\n"
        "try: asyncio.run(run())\n"
        "except ExtraMissing as exc: print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.stdout, done.stderr) == (
        "tracing.endpoint needs the extra: pip install 'llm-sidecar[otel]'\n",
        "",
    )


# Receivers that do not receive


async def test_a_receiver_that_is_down_is_said_once_and_its_spans_are_counted(caplog):
    async with open_tracer(to(f"http://127.0.0.1:{free_port()}/c4n4ry/v1/traces")) as tracer:
        for _ in range(3):
            tracer.told(RECORD)
            await flushed(tracer)
        began = time.monotonic()
    assert time.monotonic() - began < STOP_S
    assert tracer.dropped() == 3 * SPANS
    (said,) = caplog.records
    assert said.getMessage() == "tracing.endpoint takes no spans (ConnectionError): they are dropped until it does"


async def test_a_receiver_that_comes_back_is_said_once_too(receiver, caplog):
    caplog.set_level(logging.INFO, "sidecar")

    async def refuse(_request):
        return web.Response(status=401)

    receiver.behave = refuse
    async with open_tracer(to(receiver)) as tracer:
        for behave in (refuse, refuse, None, None):
            receiver.behave = behave
            receiver.asked.clear()
            tracer.told(RECORD)
            await flushed(tracer)
    assert (tracer.dropped(), len(receiver.spans)) == (2 * SPANS, 2 * SPANS)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "tracing.endpoint takes no spans (it answers 401): they are dropped until it does",
        "tracing.endpoint takes spans again",
    ]


async def test_a_receiver_that_is_busy_is_asked_again(receiver):
    busy = [503]

    async def once(request):
        if busy:
            return web.Response(status=busy.pop())
        receiver.behave = None
        return await receiver._traces(request)

    receiver.behave = once
    async with open_tracer(to(receiver)) as tracer:
        tracer.told(RECORD)
        await flushed(tracer)
    assert (len(receiver.spans), tracer.dropped()) == (SPANS, 0)


async def test_a_receiver_that_hangs_keeps_nobody_from_stopping(receiver, caplog):
    async def hang(_request):
        await asyncio.sleep(60)

    receiver.behave = hang
    async with open_tracer(to(receiver), stop_s=0.25) as tracer:
        tracer.told(RECORD)
        await asyncio.wait_for(receiver.asked.wait(), 10)
        began = time.monotonic()
    assert 0.2 < time.monotonic() - began < 5
    assert "did not take the last spans within 0.25 s" in caplog.text
    assert STOP_S <= 3


async def test_what_does_not_fit_the_queue_is_dropped_whole_requests_at_a_time(receiver):
    gate = asyncio.Event()

    async def wait(request):
        await gate.wait()
        receiver.behave = None
        return await receiver._traces(request)

    receiver.behave = wait
    async with open_tracer(to(receiver), stop_s=30) as tracer:
        for number in range(QUEUE_SPANS // SPANS + 300):
            tracer.told(replace(RECORD, trace=replace(RECORD.trace, trace_id=f"{number + 1:032x}")))
        gate.set()
    assert tracer.dropped() > 0
    assert len(receiver.spans) + tracer.dropped() == SPANS * (QUEUE_SPANS // SPANS + 300)
    arrived = [span.trace_id for span in receiver.spans]
    assert {arrived.count(trace_id) for trace_id in set(arrived)} == {SPANS}
