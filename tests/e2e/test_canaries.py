"""
Nothing that a client, a provider or an operator keeps to themselves is written down anywhere.

Canaries go through every path of the real program, with everything that it can write turned on; then whatever it wrote
and whatever its admin port shows is searched for them, and for pieces of them. `-s` prints what was sent and where was
searched. What clients choose as a name for something (user agent, model, route, request id) may be told, and sessions
may be named by /pins, which exists for that.
"""

import asyncio
import base64
import gzip
import json
import signal

import aiohttp
import pytest
from canaries import Canaries
from canary_talk import AGENT, SESSION_HEADERS, TRACE_ID, conversations, orders, provider
from provider import serving
from rawclient import connected

ADMIN_PATHS = (
    "/", "/ready", "/live", "/server_info", "/metrics", "/stats", "/stats?format=json", "/stats/prometheus",
    "/config_dump", "/clusters", "/clusters?format=json", "/listeners", "/memory", "/help", "/recent",
)  # fmt: skip
PATIENCE_S = 30


async def converse(port, sent, began):
    """Says it and hears the answer out, or hangs up as soon as the provider was asked."""
    async with connected(port) as client:
        began.clear()
        await client.send(sent.data)
        try:
            async with asyncio.timeout(0.5 if sent.hangs_up else PATIENCE_S):
                await (began.wait() if sent.hangs_up else client.reader.read(-1))
        except (TimeoutError, ConnectionError):
            pass
        if sent.hangs_up:
            client.reset()


def configuration(url, kind, log_format, access_log):
    classifier = {"type": kind, "base_url": f"{url}/classify/v1", "model": "m", "access_key": "$CLASSIFIER_KEY"}
    usual = {"base_url": f"{url}/v1", "timeouts": {"connect": "1s", "first_byte": "1s", "idle": "1s"}}
    return {
        "model_providers": [
            {**usual, "model": "openai/gpt", "default": True, "access_key": "$OPENAI_KEY", "headers": {"x-extra": "$EXTRA"}},
            {**usual, "model": "anthropic/claude", "access_key": "$ANTHROPIC_KEY"},
            {**usual, "model": "passed/gpt", "provider_interface": "openai", "passthrough_auth": True},
        ],
        "routing_preferences": [
            {"name": "code", "description": "writing code", "models": ["openai/gpt", "anthropic/claude"]},
            {"name": "talk", "description": "small talk", "models": ["anthropic/claude"]},
        ],
        "routing": {"classifier": classifier if kind != "embedded" else kind, "apply_to": ["auto"]},
        "telemetry": {
            "access_log": access_log, "access_log_format": log_format, "log_format": log_format, "log_level": "debug",
            "session_hash_key": "$HASH_KEY",
        },
        "tracing": {"random_sampling": 100, "endpoint": f"{url}/traces", "headers": {"x-key": "$OTLP_KEY"}},
    }  # fmt: skip


SECRETS = ("OPENAI_KEY", "ANTHROPIC_KEY", "CLASSIFIER_KEY", "EXTRA", "HASH_KEY", "OTLP_KEY")


async def spied_on(sidecar, canaries, tmp_path, kind, log_format, sent):
    """A whole life of the program: what it wrote."""
    access_log = str(tmp_path / "access.log") if log_format == "json" else "stdout"
    async with serving(provider) as double:
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps(configuration(double.url, kind, log_format, access_log)))
        environ = {name: canaries[f"${name}"] for name in SECRETS}
        program = await sidecar("up", config, "--port", 0, "--admin-port", 0, environ=environ)
        await program.until("sessions")
        for each in sent:
            await converse(int(program.url.rpartition(":")[2]), each, double.began)
        admin = next(line.split()[1] for line in program.printed if line.startswith("admin")).rstrip("/")
        places = await shown(admin.partition("{")[0].rstrip("/"), canaries)
        program.process.send_signal(signal.SIGTERM)
        out, errors = await asyncio.wait_for(program.process.communicate(), PATIENCE_S)
        places |= {"standard output": "\n".join([*program.printed, out.decode()]), "standard error": errors.decode()}
        places["spans"] = "".join(_unpacked(each) for each in double.requests if each.target.endswith("/traces"))
    places["access log"] = (tmp_path / "access.log").read_text() if log_format == "json" else out.decode()
    return places


async def shown(admin, canaries):
    """What the admin port says to those who look, after what operators did."""
    async with aiohttp.ClientSession() as client:
        for method, path, sent in orders(canaries):
            data = json.dumps(sent).encode() if isinstance(sent, dict) else sent
            async with client.request(method, admin + path, data=data):
                pass
        places = {}
        for path in (*ADMIN_PATHS, "/pins", "/pins/export"):
            async with client.get(admin + path) as answer:
                assert answer.status == 200, path
                places[f"GET {path}"] = await answer.text()
    return places


def _unpacked(received):
    packed = received.one("content-encoding") == "gzip"
    return (gzip.decompress(received.body) if packed else received.body).decode("latin-1")


@pytest.mark.parametrize(("kind", "log_format"), [("llm", "json"), ("embeddings", "text"), ("embedded", "json")])
async def test_no_prompt_key_or_session_is_written_down_anywhere(sidecar, tmp_path, kind, log_format):
    canaries = Canaries()
    sent = list(conversations(canaries))
    places = await spied_on(sidecar, canaries, tmp_path, kind, log_format, sent)
    sessions = [name for name in canaries.tokens if name.startswith("session")]
    _show(canaries, sent, places)
    leaks = {
        place: found
        for place, text in places.items()
        if (found := canaries.found(text, but=sessions if place.startswith("GET /pins") else ()))
    }
    assert leaks == {}
    _check_that_it_could_have_failed(canaries, sent, places, kind, log_format)


def _check_that_it_could_have_failed(canaries, sent, places, kind, log_format):
    """What may be told is found in the same places by the same search, and everything was really sent."""
    everything = b"".join(each.data for each in sent).decode("latin-1")
    unsent = {name for name in canaries.tokens if name not in canaries.found(everything)}
    assert unsent == {f"${name}" for name in SECRETS} | {"operator", "session of an operator"}
    assert Canaries({"agent": AGENT}).found(places["access log"]) == ["agent"]
    lines = places["access log"].splitlines()
    assert len(lines) >= len(sent) - 10  # who hangs up before the head is whole was never a request
    assert any(canaries[f"session in {name}"] in places["GET /pins"] for name in SESSION_HEADERS)
    assert ("the classifier failed" in places["standard error"]) == (kind != "embedded")
    assert TRACE_ID in places["GET /recent"]
    assert len(places["spans"]) > 1000
    if log_format == "text":
        return
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert TRACE_ID in {each["trace_id"] for each in told}
    assert {each["session"] for each in told if "session" in each and each.get("source") == "session-id"} != set()
    assert {each.get("code") for each in told} >= {
        None, "client_gone", "invalid_json", "invalid_session_id", "not_found", "unsupported_encoding",
        "origin_not_allowed", "refused", "upstream_reset", "upstream_unreachable",
    }  # fmt: skip
    assert {flag for each in told for flag in each.get("response_flags", "").split(",")} >= {
        "DC",
        "DPE",
        "IH",
        "NR",
        "UC",
    }


def _show(canaries, sent, places):
    print(f"\n{len(canaries.tokens)} canaries: {', '.join(canaries.tokens)}")  # noqa: T201 - with -s
    kinds = list(dict.fromkeys(each.what for each in sent))
    print(f"{len(sent)} conversations of {len(kinds)} kinds:", *kinds, sep="\n  ")  # noqa: T201
    print(f"{'searched':24}  {'bytes':>8}  canaries found")  # noqa: T201
    for place, text in places.items():
        print(f"{place:24}  {len(text):8}  {', '.join(canaries.found(text)) or '-'}")  # noqa: T201


def test_the_search_finds_what_is_cut_wrapped_or_encoded():
    canaries = Canaries()
    token = canaries["a"]
    assert canaries["b"] != token
    for text in (
        token,
        token.upper(),
        f"x{token[5:13]}…",
        json.dumps(token),
        base64.b64encode(b"1" + token.encode()).decode(),
    ):
        assert canaries.found(text) == ["a"]
    assert canaries.found(token[:7]) == []
