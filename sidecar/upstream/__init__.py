"""
Calling providers.

    order ─▶ dispatch ─▶ client ─▶ reply      the line a request takes: who is asked, over which connection, what comes
             │    │
             │    └─ target, headers, asking   where it goes and the head it has: from `providers`, one table
             └─ failover, refusal, health,     the rules, all pure: who is next, what a failure means, who is ejected,
                limits (places waits)          how many at once

    client ─▶ pool ─▶ connecting ─▶ connection ─┬─ answer      what a provider says, parsed by llhttp: pure
                                                ├─ outgoing    what it is sent; `upload` is a body that is still coming
                                                └─ alarm       one timer for all its waits

    answer ─▶ form ─▶ shape, relaying           what a provider's head says, what stands where in it, what of it crosses
    connection ─▶ chunks                        a chunk of a stream that is here whole, and goes on as it is framed

`endpoint` is the small sibling that classifiers call a model with, and the only one that knows aiohttp's client.
"""
