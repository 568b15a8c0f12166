"""
An LLM sidecar that decides which model answers, and keeps that decision for the whole session.

    client ─▶ listener ─▶ wire.parse ─▶ routing.session ─▶ store.get ──hit──▶ decision ─┬─▶ /routing/v1/* : the decision as JSON
                │          (headers,      (SessionKey      │ miss                        │
                │           raw body)      or None)        └─▶ classifier ─▶ store.claim │
                │                                              (single flight)           └─▶ /v1/* : the provider's answer
                └── every way out passes telemetry once

A request walks this line from left to right; each step takes one frozen thing and returns the next. The folders are
the steps: `wire` knows the formats, `routing` decides, `stores` remember, `classifiers` judge, `listener` answers
clients, `admin` answers operators and `operator` asks it from a command line, `telemetry` is told of everything and
decides nothing, `server` puts the parts together, `injector` adds the sidecar to pods of Kubernetes, in a process of
its own, and `cli` is the only file that prints or exits. All of it runs on the event loop of `loop`. Importing any of
them has no effect.
"""

__version__ = "0.1.0"
