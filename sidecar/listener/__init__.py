"""
The data plane: the only place that answers clients.

`http` is the server itself; `door` takes every request and sees to it that each leaves the same way: with its headers, counted and logged once.
`body` reads what came, `trace` says which trace it belongs to, `decisions` answers `/routing/v1/*`.
"""
