"""
The sidecar, as its command line starts it from this tree, with everything on: routes and the embedded classifier, pins,
metrics, response headers, request ids; the access log is off, as it is unless somebody asks for it.
"""

import hashlib
import http.client
import json
import subprocess
import sys
import time
from pathlib import Path

from . import traffic
from .candidates import JSON, Ask, Candidate, Unavailable
from .starting import Command, free_port
from .traffic import Wire

TREE = Path(__file__).parents[3]
MOST_AGE_S = 12 * 3600
"""Of a snapshot that is used again; its pins live a day."""
REPLY, STREAM, TRANSLATED = "openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude-sonnet-4"

CONFIG = """
version: v0.4.0
model_providers:
  - {{model: {reply}, base_url: 'http://127.0.0.1:{plain}', access_key: sk-bench, default: true}}
  - {{model: {stream}, base_url: 'http://127.0.0.1:{streams}', access_key: sk-bench}}
  - {{model: {translated}, base_url: 'http://127.0.0.1:{streams}', access_key: sk-bench}}
{more}routing_preferences:
  - name: code_generation
    description: writing, completing or changing program code, such as functions, classes, middleware and tests
    models: [{reply}, {stream}]
  - name: complex_reasoning
    description: thinking a problem through, such as comparing options, analysing trade-offs, reviewing a design
    models: [{stream}, {reply}]
routing:
  session_ttl_seconds: 86400
  session_max_entries: {most}
  session_cache: {{{store}}}
"""
MORE = "  - {{model: openai/more-{n}, base_url: 'http://127.0.0.1:{plain}', access_key: sk-bench}}\n"
MODELS = {"reply": REPLY, "stream": STREAM, "translated": TRANSLATED}
PINNED = {"bench-reply": REPLY, "bench-stream": STREAM, "bench-translated": TRANSLATED}
"""Sessions, and the models they are pinned to."""


class Sidecar(Candidate):
    """With pins in memory; `sessions`: so many live ones from the start, and no requests but for theirs."""

    exact = True
    settings = "as described"
    program = ("-m", "sidecar.cli", "up")
    tree = TREE
    """Whose code it runs."""
    more = ""
    """Of the configuration; `{plain}` is the provider's port, `{folder}` its own folder."""

    def __init__(self, name="sidecar", *, store="", sessions=0, more_models=0):
        self.name, self.store, self.sessions, self.more_models = name, store, sessions, more_models

    def install(self, cache):
        if self.sessions:
            self.snapshot = preloaded(cache, self.sessions)

    def command(self, here):
        store = self.store
        if self.sessions:
            (here.folder / "pins").write_bytes(self.snapshot.read_bytes())  # it will be written
            store = f"snapshot: {here.folder}/pins, snapshot_interval: 1h"
        config = here.folder / "sidecar.yaml"
        most = max(10_000, self.sessions * 6 // 5)
        to = here.providers
        models = "".join(MORE.format(n=n, plain=to.plain) for n in range(self.more_models))
        text = CONFIG.format(**MODELS, plain=to.plain, streams=to.streams, most=most, store=store, more=models)
        config.write_text(text + self.more.format(plain=to.plain, folder=here.folder))
        port, self.admin = free_port(), free_port()
        argv = (sys.executable, *self.program, config, "--port", port, "--admin-port", self.admin)
        return Command((*argv, "--log-level", "warning"), port, {"PYTHONPATH": str(self.tree)})

    def until_ready(self):
        until = time.monotonic() + 30
        while answered(self.admin, "GET", "/ready")[0] != 200:
            if time.monotonic() > until:
                raise Unavailable("it does not become ready")
            time.sleep(0.005)

    def settle(self, port):
        self.until_ready()
        for session, model in PINNED.items():
            status, said = answered(self.admin, "PUT", f"/pins/{session}", json.dumps({"model": model}))
            if status >= 300:
                raise Unavailable(f"the session {session} could not be pinned: {status} {said[:200]!r}")

    def ask(self, work, port):
        kind = work.value[3] if len(work.value) > 3 else "proxied"
        headers = dict(JSON)
        if kind in ("decision", "unpinned", "sessions"):
            if kind == "decision":
                headers["X-Session-Id"] = "bench-reply"
            if kind == "sessions":
                headers["X-Session-Id"] = "s0000000"  # another for each request
            pinned = b'"pinned":false' if kind == "unpinned" else b'"pinned":true'
            sessions = self.sessions if kind == "sessions" else 0
            return Ask(
                port, "/routing/v1/chat/completions", headers, work.body("auto"), (pinned, REPLY.encode()), sessions
            )
        model = "translated" if kind == "translated" else "stream" if work.streams else "reply"
        headers["X-Session-Id"] = f"bench-{model}"
        return Ask(port, traffic.PATHS[Wire.CHAT], headers, work.body("auto"), self.held(work))


def answered(port, method, path, body=None, headers=None):
    """(status, body) of one request to the loopback; (0, b"") where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        typed = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body, typed | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def preloaded(cache, count):
    """A snapshot with so many sessions. A million take half a minute to make: it is kept for as long as its code is this."""
    sources = sorted(file for folder in ("stores", "routing") for file in (TREE / "sidecar" / folder).glob("*.py"))
    code = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]
    path = cache / f"pins-{count}-{code}"
    if path.exists() and time.time() - path.stat().st_mtime < MOST_AGE_S:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.glob(f"pins-{count}-*"):
        old.unlink()
    print(f"making {count:,} sessions …", file=sys.stderr, flush=True)
    argv = (sys.executable, Path(__file__).with_name("preload.py"), path, count, REPLY)
    made = subprocess.run(  # noqa: S603 - ours
        tuple(map(str, argv)), cwd=TREE, env={"PYTHONPATH": str(TREE)}, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Unavailable(f"its sessions could not be made: {made.stderr.strip()[-200:]}")
    return path
