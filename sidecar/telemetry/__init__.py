"""
What operators see. Never a prompt or a key, and a session only by a hash of its id.

    door ──once per request──┬─Counts─┬─▶ meter ──▶ metrics      the one list, kept in `tally`, shown by `exposition`
                             │        └─▶ recent                 the console's last quarter of an hour
                             └─Record─┬─▶ access ─▶ writer       a line each, JSON or as Envoy writes it
                                      └─▶ tracer ─▶ spans, otlp  OpenTelemetry, with its extra

Requests are counted, and their records made and told, by `telling`: some at a time. `requests` and `calls` say what they
count in. A metric goes from `tally` as rows of numbers (`families`), from workers to their parent as well (`merge`), and
becomes text in `lines`, a series at a time.

`trace` says which trace a request belongs to, `pseudonym` what its session is called, `lag` how late the event loop is,
and `log` is what the program itself has to say.
"""
