"""
Calling providers: the only package that knows aiohttp's client.

    order ─▶ dispatch ─▶ client ─▶ reply      the line a request takes: who is asked, over which connection, what comes
             │    │
             │    └─ target, headers           where it goes and what it carries: from `providers`, one table
             └─ failover, refusal, health,     the rules, all pure: who is next, what a failure means, who is ejected,
                limits (places waits)          how many at once

`endpoint` is the small sibling that classifiers call a model with.
"""
